"""What a source may say of an item (a part of a file, a face, a window, a zoom), and the rules of known corpora."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from dreamtalk_models import checkpoints
from dreamtalk_models.syncnet import SyncNet
from stages.corpus.clip import Reject, crop_item
from stages.corpus.crop import check_weights
from stages.corpus.decode import frames, read_audio, read_video
from stages.corpus.encode import write_mp4
from stages.corpus.faces import FaceMesh
from stages.corpus.takes import TakeFinder
from stages.corpus.windows import share_outside, sticks_out, windows
from tests.stages.corpus.tiny_videos import RATE, item, nod, two_faces


@pytest.fixture
def cropped(tmp_path, crop):
    """Crop one video under changed parameters; clips, rejected, landmarks. Media lie in tmp_path/media."""
    (tmp_path / "media").mkdir()

    def run(path: Path, changed: dict | None = None, **given: object):
        params = crop.model_copy(update=changed or {})
        with TakeFinder(params) as finder:
            return crop_item(item(path, **given), tmp_path / "media", params, finder)

    return run


@pytest.fixture
def couple(face) -> list[np.ndarray]:
    """Two faces side by side, the right one larger."""
    return two_faces(face, 0.7)


def centre(row: dict) -> float:
    """Middle of what was cut out, as a share of a picture 480 px wide."""
    x, _, edge = row["window"]
    return (x + edge / 2) / 480


def test_two_faces_are_no_question_where_the_face_is_given(film, cropped, couple):
    path = film("a.mp4", couple)
    clips, (refused,), _ = cropped(path)
    assert clips == [] and "two faces" in refused["reason"]
    for face, expected in (((0.1, 0.2, 0.3, 0.6), 0.2), ((0.6, 0.2, 0.85, 0.8), 0.73)):
        (row,), rejected, _ = cropped(path, face=face)
        assert rejected == [] and centre(row) == pytest.approx(expected, abs=0.06)


def test_a_given_face_that_is_not_there_is_no_face(film, cropped, couple):
    for face in ((0.4, 0.9, 0.5, 1.0), (2.0, 2.0, 2.2, 2.2)):
        clips, (refused,), _ = cropped(film("a.mp4", couple), face=face)
        assert clips == [] and refused["reason"] == "no face found"


def test_a_part_of_a_file_is_that_part(tmp_path, film, cropped, face):
    path = film("a.mp4", nod(face, 100))
    (row,), _, _ = cropped(path, start_s=2.0, end_s=3.2)
    assert (row["start_s"], row["end_s"], row["frames"]) == (2.0, 3.2, 30)
    whole = np.stack(list(frames(path, 25)))[50:80]
    x, y, edge = np.round(row["window"]).astype(int)
    clip = read_video(tmp_path / "media/a.mp4", 25)
    expected = [cv2.resize(rgb[y : y + edge, x : x + edge], clip.shape[1:3]) for rgb in whole]
    assert np.abs(clip.astype(int) - expected).mean() < 6
    assert np.abs(read_audio(path, RATE, 2.0, 3.2) - read_audio(path, RATE)[2 * RATE :][: int(1.2 * RATE)]).max() < 1e-3
    clips, (refused,), _ = cropped(path, start_s=9.0, end_s=10.0)
    assert clips == [] and "no sound from 9.0 s on" in refused["reason"]
    assert (refused["start_s"], refused["end_s"]) == (9.0, 10.0)


def test_a_given_window_is_cut_out_as_it_is(tmp_path, film, cropped, couple):
    window = (0.9, 0.05, 0.9, 0.9)  # in heights: 234 px of a picture 260 px high
    (row,), rejected, landmarks = cropped(film("a.mp4", couple), window=window)
    assert rejected == [] and row["window"] == pytest.approx(np.multiply(window, 260)[:3], abs=1)
    clip = read_video(tmp_path / "media/a.mp4", 25)
    with FaceMesh(static=True) as mesh:
        again = mesh.landmarks(clip[7])
    assert np.abs(landmarks["a"][7].reshape(478, 3)[:, :2] - again[:, :2]).mean() < 2


def test_zoom_widens_the_window_that_is_found(film, cropped, face):
    wide = [cv2.copyMakeBorder(rgb, 100, 100, 100, 100, cv2.BORDER_REPLICATE) for rgb in nod(face, 15)]
    path = film("a.mp4", wide)
    edges = [cropped(path, zoom=zoom)[0][0]["window"][2] for zoom in (None, 1.0, 1.2)]
    assert edges[0] == edges[1] and edges[2] / edges[1] == pytest.approx(1.2, abs=0.02)


def test_rules_of_first_order_motion(film, cropped, face):
    tight, drift = nod(face[10:170, 40:190], 15), []
    for i in range(40):
        drift.append(np.full((300, 640, 3), 90, np.uint8))
        drift[-1][40:264, 2 * i : 2 * i + 224] = face
    path = film("tight.mp4", tight)
    assert len(cropped(path)[0]) == 1
    assert "sticks out" in cropped(path, {"reject_padding": True})[1][0]["reason"]
    assert "less than crop.min_window" in cropped(path, {"min_window": 256})[1][0]["reason"]
    assert len(cropped(film("drift.mp4", drift))[0]) == 1
    assert len(cropped(film("drift.mp4", drift), {"min_overlap": 0.5})[0]) > 1


def test_a_window_that_follows():
    path = 100 + 60 * np.sin(np.arange(200) / 20)
    boxes = np.stack([path, np.full(200, 80.0), path + 100, np.full(200, 190.0)], axis=1).astype(np.float32)
    still, moving = (windows(boxes, 0.25, (640, 360), smoothing) for smoothing in (0, 5))
    assert (still == still[0]).all() and moving.shape == (200, 3)
    assert (moving[:, 2] == moving[0, 2]).all() and moving[0, 2] < still[0, 2]
    middle = moving[:, 0] + moving[:, 2] / 2
    assert np.abs(middle - (path + 50)).max() < 10
    assert moving[:, :2].min() >= 0 and (moving[:, 0] + moving[:, 2]).max() <= 640


def test_following_keeps_landmarks_on_the_face(tmp_path, film, cropped, face):
    pictures = []
    for i in range(30):
        pictures.append(np.full((300, 500, 3), 90, np.uint8))
        pictures[-1][40:264, 4 * i : 4 * i + 224] = face
    path, strayed = film("a.mp4", pictures), {}
    for smoothing in (0.0, 0.1):
        (row,), _, landmarks = cropped(path, {"smoothing_s": smoothing})
        noses = landmarks["a"].reshape(-1, 478, 3)[:, 4, :2]
        strayed[smoothing] = np.ptp(noses[:, 0]) * row["window"][2] / row["width"]  # px of the source
        clip = read_video(tmp_path / "media/a.mp4", 25)
        with FaceMesh(static=True) as mesh:
            assert np.abs(mesh.landmarks(clip[15])[4, :2] - noses[15]).max() < 4
    assert strayed[0.0] > 100 and strayed[0.1] < 0.3 * strayed[0.0]


def test_sticking_out():
    box = np.float32([[100, 100, 200, 200]])
    assert not sticks_out(box, 0.25, (300, 300))
    assert sticks_out(box, 0.6, (300, 230)) and sticks_out(box, 1.2, (400, 400))


def test_what_is_rejected_has_a_picture(film, cropped):
    for path, shown in ((film("mute.mp4", sound=False), True), (film("short.mp4", seconds=0.2), True)):
        _, (refused,), _ = cropped(path)
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(refused["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
        assert (picture is not None) == shown and max(picture.shape) == 128


def test_the_sync_filter(tmp_path, film, cropped, crop):
    checkpoints.save(SyncNet(width=0.02, size=64).eval(), tmp_path / "weights.safetensors")
    settings = crop.sync.model_copy(update={"weights": str(tmp_path / "weights.safetensors")})
    strict = settings.model_copy(update={"min_confidence": 1e6, "max_offset": 15})
    path = film("a.mp4")
    assert len(cropped(path, {"sync": strict.model_copy(update={"min_confidence": 0.0})})[0]) == 1
    clips, (refused,), _ = cropped(path, {"sync": strict})
    assert clips == [] and "less than crop.sync.min_confidence" in refused["reason"]
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(Reject, match=r"crop\.sync\.weights: .*bad\.safetensors"):
        check_weights(
            crop.model_copy(update={"sync": settings.model_copy(update={"weights": str(tmp_path / "bad.safetensors")})})
        )


def test_flash_and_click_stay_together_in_the_clip(tmp_path, cropped, face):
    """Over 12 s of 29.97 frames/s and 44.1 kHz, each flash is in the frame of its click."""
    rate, count = 44100, 360
    marks = np.arange(12, count, 30)
    pictures = [cv2.convertScaleAbs(rgb, beta=60) if i in marks else rgb for i, rgb in enumerate(nod(face, count))]
    sound = np.zeros(int(count / 29.97 * rate), np.float32)
    for mark in marks:
        at = round(mark / 29.97 * rate)
        sound[at : at + 600] = 0.8 * np.sin(np.arange(600))
    write_mp4(tmp_path / "a.mp4", pictures, Fraction(30000, 1001), sound, rate)
    (row,), _, _ = cropped(tmp_path / "a.mp4", {"max_seconds": 30.0, "shot_threshold": 200.0})
    light = read_video(tmp_path / "media/a.mp4", 25).mean(axis=(1, 2, 3))
    flashes = np.flatnonzero(light > np.median(light) + 20) / 25
    loud = np.flatnonzero(np.abs(read_audio(tmp_path / "media/a.wav", RATE)) > 0.3) / RATE
    clicks = loud[np.diff(loud, prepend=-1) > 0.1]
    assert len(clicks) == len(marks)
    assert all(np.abs(flashes - click).min() <= 1 / 25 for click in clicks)
    assert abs(row["audio_s"] - 12) < 0.05


def test_a_window_that_cuts_the_face_is_no_clip(film, cropped, face):
    clips, (refused,), _ = cropped(film("a.mp4", nod(face, 30)), window=(0.35, 0.1, 0.6, 0.6))
    assert clips == [] and "sticks out of the window in 100% of frames" in refused["reason"]
    box, square = np.float32([[10, 10, 110, 110]] * 4), np.array([[0, 0, 120]] * 4)
    assert share_outside(box, square, (120, 120)) == 0
    assert share_outside(box + np.float32([[0], [0], [0], [25]]), square, (200, 200)) == 0.25
    assert share_outside(box, square, (90, 120)) == 1  # the picture ends before the window does


def test_takes_that_are_too_short_are_one_row(film, cropped, face):
    pictures = nod(face, 60)
    for i in [*range(6, 24), *range(32, 50)]:
        pictures[i] = np.full_like(face, 128)
    clips, (refused,), _ = cropped(film("a.mp4", pictures))
    assert clips == []
    assert re.match(r"[23] times, but only 0\.\d+ s at a stretch, with a face, less than crop", refused["reason"])
    assert refused["start_s"] == 0 and refused["end_s"] > 2


def test_a_part_that_ends_after_its_video_is_said(film, cropped):
    path = film("a.mp4", seconds=2.0)
    clips, (refused,), _ = cropped(path, start_s=0.5, end_s=9.0)
    assert clips == [] and refused["reason"] == "is 2.0 s long, but the part that is wanted ends at 9.0 s"
    assert len(cropped(path, start_s=0.5, end_s=2.4)[0]) == 1  # lists round


def test_few_frames_a_second_are_refused_where_asked(film, cropped):
    path = film("a.mp4", seconds=1.0, fps=8)
    assert len(cropped(path)[0]) == 1
    assert cropped(path, {"min_source_fps": 20.0})[1][0]["reason"].startswith("8 frames a second in the source")
