"""The face's parts: symmetry, a rig whose parameters do what they are called, people who differ."""

from __future__ import annotations

import numpy as np
import pytest

from dreamtalk_models.face_topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from dreamtalk_models.renderers.openings import opening
from stages.corpus.demo.emotions import EMOTIONS, LEVELS, STYLES, Clip
from stages.corpus.demo.motion import emotion_face, make_motion
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.portrait import make_portrait, rotations
from stages.corpus.demo.rig import INDEX, PARAMETERS, build_rig, neutral_shape
from stages.corpus.demo.speakers import make_speaker
from stages.corpus.demo.voice import Prosody, speak


@pytest.fixture(scope="module")
def photo():
    return photograph()


@pytest.fixture(scope="module")
def people(photo):
    return [make_speaker(photo, number, seed=3, foretold=0.85) for number in range(6)]


@pytest.fixture(scope="module")
def rig(photo):
    return build_rig(photo, neutral_shape(photo))


def posed(rig, **values: float) -> np.ndarray:
    parameters = np.zeros((1, len(PARAMETERS)))
    for name, value in values.items():
        parameters[0, INDEX[name]] = value
    return rig.pose(parameters)[0]


def gap(shape: np.ndarray) -> float:
    return float(shape[14, 1] - shape[13, 1])


def test_mirror_points_are_an_involution_that_swaps_the_sides(photo):
    np.testing.assert_array_equal(photo.mirror[photo.mirror], np.arange(468))
    assert photo.mirror[33] == 263 and photo.mirror[61] == 291 and photo.mirror[13] == 13
    np.testing.assert_array_equal(photo.mirror[list(RIGHT_EYE)], LEFT_EYE)


def test_the_neutral_face_is_symmetric_with_closed_lips_and_no_smile(photo):
    neutral = neutral_shape(photo)
    np.testing.assert_allclose(neutral[photo.mirror] * (-1, 1, 1), neutral, atol=1e-9)
    assert abs(gap(neutral)) < 1e-3 < 0.05 < gap(photo.shape)
    assert neutral[291, 0] - neutral[61, 0] < 0.9 * (photo.shape[291, 0] - photo.shape[61, 0])


@pytest.mark.parametrize(
    ("parameter", "point", "axis", "sign"),
    [
        ("jaw_open", 152, 1, 1),
        ("lip_pucker", 61, 0, 1),
        ("lip_stretch", 61, 0, -1),
        ("smile", 61, 1, -1),
        ("smirk", 291, 1, -1),
        ("frown", 61, 1, 1),
        ("upper_lip_raise", 13, 1, -1),
        ("lower_lip_depress", 14, 1, 1),
        ("brow_raise_inner", 55, 1, -1),
        ("brow_raise_outer", 70, 1, -1),
        ("brow_furrow", 55, 1, 1),
        ("nose_wrinkle", 98, 1, -1),
        ("cheek_raise", 50, 1, -1),
    ],
)
def test_a_muscle_pulls_where_its_name_says(rig, parameter, point, axis, sign):
    moved = posed(rig, **{parameter: 1.0}) - rig.shape
    assert sign * moved[point, axis] > 0.02
    assert np.abs(moved[[10, 127, 356]]).max() < 0.02, "forehead and temples stay"


def test_a_smirk_is_one_sided_and_everything_else_is_not(photo, rig):
    for name in PARAMETERS:
        shape = posed(rig, **{name: 0.8})
        even = np.abs(shape[photo.mirror] * (-1, 1, 1) - shape).max() < 1e-6
        assert even == (name != "smirk"), name


def test_lips_close_whatever_else_they_do_and_never_cross(rig):
    open_mouth = {"jaw_open": 0.7, "upper_lip_raise": 1.0, "lower_lip_depress": 1.0, "smile": 1.0}
    assert gap(posed(rig, **open_mouth)) > 0.2
    closed = posed(rig, lips_together=1.0, **open_mouth)
    upper, lower = closed[list(INNER_LIPS[11:]), 1], closed[list(INNER_LIPS[9:0:-1]), 1]
    assert np.abs(upper - lower).max() < 0.02
    crossed = posed(rig, lip_press=1.0, lower_lip_tuck=1.0)
    assert gap(crossed) > -1e-6


def test_blinks_close_the_eyes_half_and_whole(rig):
    for ring in (RIGHT_EYE, LEFT_EYE):
        wide, half, shut = (opening(posed(rig, blink=b)[list(ring), :2]) for b in (0.0, 0.5, 1.0))
        assert shut < 0.15 * wide and 0.3 * wide < half < 0.7 * wide


def test_rotations_are_rotations_and_pitch_nods_down():
    turned = rotations(np.array([[0.2, -0.3, 0.1], [0.1, 0.0, 0.0]]))
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.tile(np.eye(3), (2, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turned), 1)
    nose = np.array([0.0, 0.0, -1.0])
    assert (turned[1] @ nose)[1] > 0


def test_people_alternate_in_sex_and_differ_in_face_and_colour(photo, people):
    assert [person.name for person in people] == ["M001", "W001", "M002", "W002", "M003", "W003"]
    for i, one in enumerate(people):
        for other in people[:i]:
            apart = np.linalg.norm(one.shape - other.shape, axis=1).mean()
            assert apart > 0.02, "one hundredth of the face's width is about 0.015"
            assert one.voice != other.voice
    first, second = (make_portrait(photo, person, 96)[0].astype(float) for person in people[:2])
    assert np.abs(first - second).mean() > 10


def test_a_speaker_is_the_same_in_every_corpus_of_a_seed_and_another_in_others(photo, people):
    again, other = (make_speaker(photo, 2, seed=seed, foretold=0.85) for seed in (3, 4))
    np.testing.assert_array_equal(again.shape, people[2].shape)
    assert again.voice == people[2].voice
    assert np.abs(other.shape - people[2].shape).max() > 0.02


def test_manner_is_personal_yet_stays_the_emotion(people):
    for emotion in EMOTIONS:
        faces = np.array([emotion_face(person, Clip(0, emotion, 1, 1)) for person in people])
        if emotion == "neutral":
            assert np.abs(faces).max() == 0
            continue
        assert faces.std(0).max() > 0.02, "people differ"
        table = np.zeros(len(PARAMETERS))
        for name, value in EMOTIONS[emotion].face.items():
            table[INDEX[name]] = value
        alike = faces @ table / np.linalg.norm(faces, axis=1) / np.linalg.norm(table)
        assert alike.min() > 0.75, emotion


def test_levels_grow(people):
    sizes = [np.linalg.norm(emotion_face(people[0], Clip(0, "sad", level, 1))) for level in LEVELS]
    assert sizes == sorted(sizes) and sizes[0] < 0.5 * sizes[2]
    assert len(STYLES) == len(set(STYLES)) == 22


def test_motion_is_smooth_blinks_wholly_and_repeats(people):
    speech = speak("The bus to the museum leaves at half past three.", Prosody(people[1].voice, 165, 50, 50, 80))
    clip = Clip(1, "happy", 3, 1)
    motion, again = (make_motion(speech, people[1], clip, seed=0) for _ in range(2))
    np.testing.assert_array_equal(motion.parameters, again.parameters)
    assert np.isfinite(motion.parameters).all()
    assert motion.blinks
    for start, end in motion.blinks:
        assert motion.parameters[start:end, INDEX["blink"]].max() == 1.0
    assert np.abs(np.rad2deg(motion.angles)).max() <= 15
    assert np.abs(np.rad2deg(np.diff(motion.angles, axis=0))).max() < 2, "degrees a frame"
    other = make_motion(speech, people[1], Clip(1, "happy", 3, 2), seed=0)
    assert np.abs(other.angles - motion.angles).max() > 0.01
