"""The mesh warp: still where nothing moves, whole where much does, a mouth that opens, eyes that close."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dreamtalk_models.face_topology import CONTOUR, INNER_LIPS, LEFT_EYE, RIGHT_EYE
from dreamtalk_models.renderers import mesh_warp
from dreamtalk_models.renderers.mesh_warp import MeshWarper, face_mesh_triangles
from dreamtalk_models.renderers.openings import MOUTH_SIZE, eye_nodes, opening
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.portrait import make_portrait, project
from stages.corpus.demo.rig import INDEX, PARAMETERS, build_rig
from stages.corpus.demo.speakers import make_speaker

SIZE = 192


@pytest.fixture(scope="module")
def smiling() -> tuple[np.ndarray, np.ndarray]:
    """The photograph's face (open mouth, own teeth) with its landmarks, at its own scale."""
    photo = photograph()
    return np.ascontiguousarray(photo.image[20:212, 130:322]), photo.landmarks[:, :2] - (130, 20)


@pytest.fixture(scope="module")
def speaker():
    return make_speaker(photograph(), 1, seed=0, foretold=0.85)


@pytest.fixture(scope="module")
def closed(speaker) -> tuple[np.ndarray, np.ndarray]:
    """A portrait whose lips touch, with its landmarks."""
    return make_portrait(photograph(), speaker, SIZE)


def acted(speaker, **values: float) -> np.ndarray:
    parameters = np.zeros((1, len(PARAMETERS)))
    for name, value in values.items():
        parameters[0, INDEX[name]] = value
    rig = build_rig(photograph(), speaker.shape)
    return project(rig.pose(parameters), SIZE, speaker.placement)[0]


def inside(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.fillPoly(np.zeros(shape[:2], np.uint8), [np.rint(points).astype(np.int32)], 1) > 0


@pytest.mark.parametrize("background", ["still", "follow"])
def test_unmoved_landmarks_give_the_portrait_back(smiling, background):
    portrait, landmarks = smiling
    frame = MeshWarper(portrait, landmarks, background=background).frame(landmarks)
    assert frame.shape == portrait.shape and frame.dtype == np.uint8
    difference = np.abs(frame.astype(int) - portrait)
    assert difference.mean() < 0.5
    assert difference[inside(landmarks[list(CONTOUR)], portrait.shape)].mean() < 1.0


def test_depth_changes_nothing_where_nothing_overlaps(smiling):
    portrait, landmarks = smiling
    deep = np.c_[landmarks, np.arange(468.0)]
    frames = [MeshWarper(portrait, points).frame(points).astype(int) for points in (deep, landmarks)]
    assert np.abs(frames[0] - frames[1]).max() <= 2


def test_a_still_background_stays_and_a_following_one_moves(smiling):
    portrait, landmarks = smiling
    moved = landmarks + np.array((9.0, 5.0))
    still = MeshWarper(portrait, landmarks).frame(moved)
    outline = landmarks[list(CONTOUR)]
    around = outline.mean(0) + 2.2 * (outline - outline.mean(0))
    far = ~inside(around, portrait.shape)
    assert far.any()
    shifted = np.roll(portrait, (5, 9), axis=(0, 1))
    stays, goes = (np.abs(still[far].astype(int) - picture[far]).mean() for picture in (portrait, shifted))
    assert stays < 0.5 * goes
    follow = MeshWarper(portrait, landmarks, background="follow").frame(moved)
    assert np.abs(follow[5:, 9:].astype(int) - portrait[:-5, :-9]).mean() < 0.5


def test_a_translated_face_is_the_face(smiling):
    portrait, landmarks = smiling
    frame = MeshWarper(portrait, landmarks).frame(landmarks + np.array((6.0, -4.0)))
    face = inside(landmarks[list(CONTOUR)], portrait.shape)[8:-8, 8:-8]
    back = np.roll(frame, (4, -6), axis=(0, 1))[8:-8, 8:-8]
    assert np.abs(back.astype(int) - portrait[8:-8, 8:-8])[face].mean() < 1.5


@pytest.mark.parametrize("degrees", [(20, 0, 0), (0, 20, 0), (0, 0, 20), (-12, -15, 10)])
def test_a_turned_head_leaves_no_hole(closed, speaker, degrees):
    """Every pixel comes from the portrait, and nothing of the drawn mouth strays from between the lips."""
    portrait, landmarks = closed
    plain = np.full_like(portrait, (200, 120, 90))
    warper = MeshWarper(plain, landmarks)
    target = project(speaker.shape[None], SIZE, speaker.placement, np.deg2rad([degrees]).astype(float))[0]
    frame = warper.frame(target)
    lips = inside(target[list(INNER_LIPS), :2], frame.shape).astype(np.uint8)
    away = cv2.dilate(lips, np.ones((9, 9), np.uint8)) == 0
    assert np.abs(frame.astype(int) - (200, 120, 90))[away].max() <= 2


def test_an_opening_mouth_shows_dark_and_teeth_in_proportion(closed, speaker):
    portrait, landmarks = closed
    warper = MeshWarper(portrait, landmarks)
    dark = []
    for jaw in (0.0, 0.3, 0.7):
        target = acted(speaker, jaw_open=jaw)
        within = inside(target[list(INNER_LIPS), :2], portrait.shape)
        light = warper.frame(target)[within].mean(axis=1)
        dark.append(int((light < 60).sum()))
        if jaw:
            assert light.max() > 120, "upper teeth"
    assert dark[0] < dark[1] < dark[2]


def test_an_open_mouth_in_the_portrait_keeps_its_own_teeth(smiling):
    portrait, landmarks = smiling
    lower = [14, 87, 317, 178, 402, 88, 318]
    wider = landmarks.copy()
    wider[lower, 1] += 2.0
    mouth = inside(landmarks[list(INNER_LIPS), :2], portrait.shape)
    mouth = cv2.erode(mouth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    frame = MeshWarper(portrait, landmarks).frame(wider)
    assert np.abs(frame.astype(int) - portrait)[mouth].mean() < 12


def test_closing_lids_cover_the_eye_and_leave_its_picture_in_place(closed, speaker):
    portrait, landmarks = closed[0], closed[1][:, :2]
    shut = acted(speaker, blink=1.0)[:, :2]
    for ring in (RIGHT_EYE, LEFT_EYE):
        assert opening(shut[list(ring)]) < 0.05 < 0.15 < opening(landmarks[list(ring)])
        lying = eye_nodes(landmarks[list(ring)], shut[list(ring)])
        assert np.linalg.norm(lying - landmarks[list(ring)], axis=1).max() < 1.0
    eye = inside(landmarks[list(LEFT_EYE)], portrait.shape)
    frame = MeshWarper(portrait, landmarks).frame(shut)
    assert np.abs(frame.astype(int) - portrait)[eye].mean() > 10
    sclera = np.percentile(portrait[eye].mean(axis=1), 95)
    assert np.percentile(frame[eye].mean(axis=1), 95) < sclera


def test_landmarks_outside_the_picture_are_no_error(smiling):
    portrait, landmarks = smiling
    frame = MeshWarper(portrait, landmarks).frame(landmarks + np.array((400.0, -300.0)))
    assert frame.shape == portrait.shape


def test_a_batch_is_its_frames(closed, speaker):
    portrait, landmarks = closed
    targets = np.stack([acted(speaker, jaw_open=0.4), acted(speaker, smile=1.0)])
    warper = MeshWarper(portrait, landmarks)
    np.testing.assert_array_equal(warper(targets), [warper.frame(targets[0]), warper.frame(targets[1])])


def test_wrong_input_is_refused(smiling):
    portrait, landmarks = smiling
    with pytest.raises(ValueError, match="landmarks must be"):
        MeshWarper(portrait, landmarks[:68])
    with pytest.raises(ValueError, match="portrait must be"):
        MeshWarper(portrait.astype(float), landmarks)
    with pytest.raises(ValueError, match="background must be"):
        MeshWarper(portrait, landmarks, background="away")
    broken = landmarks.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        MeshWarper(portrait, landmarks).frame(broken)


def test_the_mesh_has_no_triangle_twice():
    mesh = face_mesh_triangles()
    assert mesh.shape == (852, 3)
    assert len({tuple(sorted(face)) for face in mesh.tolist()}) == 852


def with_lips(landmarks: np.ndarray, gap: float) -> np.ndarray:
    """Landmarks whose inner lips are `gap` px apart in the middle and meet in the corners."""
    lower, upper = np.array(INNER_LIPS[1:10]), np.array(INNER_LIPS[:10:-1])
    moved = landmarks.copy()
    middle = (landmarks[lower] + landmarks[upper]) / 2
    half = np.c_[np.zeros(9), gap / 2 * np.sin(np.linspace(0.1, 0.9, 9) * np.pi)]
    moved[lower], moved[upper] = middle + half, middle - half
    return moved


def test_nothing_of_the_mouth_is_seen_through_closed_lips(smiling, monkeypatch):
    portrait, landmarks = smiling
    green = np.zeros((MOUTH_SIZE, 2 * MOUTH_SIZE, 3), np.uint8)
    green[..., 1] = 255
    monkeypatch.setattr(mesh_warp, "mouth_atlas", lambda: green)
    monkeypatch.setattr(mesh_warp, "mouth_light", lambda *_: np.ones(3))
    monkeypatch.setattr(mesh_warp, "shows_teeth", lambda *_: False)
    warper = MeshWarper(portrait, landmarks)
    seen = {}
    for gap in (0.0, 6.0):
        frame = warper.frame(with_lips(landmarks, gap)).astype(int)
        seen[gap] = int((frame[..., 1] - frame[..., [0, 2]].max(2) > 60).sum())
    assert seen[0.0] <= 3
    assert seen[6.0] > 30


def test_a_head_at_the_edge_of_the_picture_keeps_its_shape(smiling):
    portrait, landmarks = smiling
    top = int(landmarks[:, 1].min()) - 4
    close = np.ascontiguousarray(portrait[top:])
    points = landmarks - (0, top)
    frame = MeshWarper(close, points).frame(points + np.array((0.0, 12.0)))
    middle = int(points[:, 0].mean())
    columns = slice(middle - 10, middle + 10)
    assert np.abs(frame[12:30, columns].astype(int) - close[:18, columns]).mean() < 6
