"""The demo corpus as a whole: the same bytes every time, sound beside picture, a face that does what the truth says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from stages.corpus.demo import write_corpus
from stages.corpus.demo.emotions import STYLES, Clip
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.render import Actor, Studio, make_clip, text_of
from stages.corpus.demo.visemes import closures

SMALL = {"clips_per_style": 1, "foretold": 0.85, "seconds": 1.0, "size": 128, "seed": 5}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[Path, list[dict], list[dict]]:
    folder, done = tmp_path_factory.mktemp("corpus"), []
    rows = write_corpus(folder, speakers=1, workers=2, on_done=done.append, **SMALL)
    return folder, rows, done


@pytest.fixture(scope="module")
def actors() -> dict[int, tuple[Studio, Actor]]:
    studio = Studio(photograph(), 256, 2.0, 0.85, 0)
    return {number: (studio, Actor(studio, number)) for number in (0, 1)}


def film(actors, folder: Path, clip: Clip) -> tuple[Path, np.lib.npyio.NpzFile]:
    for part in ("videos", "truth"):
        (folder / part).mkdir(exist_ok=True)
    row = make_clip(*actors[clip.speaker], clip, folder)
    video = folder / row["path"]
    return video, np.load(folder / "truth" / f"{video.stem}.npz", allow_pickle=False)


def test_every_style_has_its_clips_and_truth(corpus):
    folder, rows, done = corpus
    assert sorted((row["emotion"], row["level"]) for row in rows) == sorted(STYLES)
    assert sorted(done, key=lambda row: row["path"]) == rows
    for row in rows:
        name = f"{row['speaker']}_front_{row['emotion']}_level{row['level']}_001"
        assert row["path"] == f"videos/{name}.mp4"
        assert (folder / row["path"]).stat().st_size > 1000
        assert (folder / "truth" / f"{name}.npz").is_file()


def test_bytes_depend_neither_on_workers_nor_on_order(corpus, tmp_path):
    folder, rows, _ = corpus
    again = write_corpus(tmp_path, speakers=1, workers=1, **SMALL)
    assert again == rows
    assert digests(tmp_path) == digests(folder)


def test_a_clip_made_twice_and_after_others_is_the_same(actors, tmp_path):
    clip = Clip(1, "angry", 2, 1)
    film(actors, tmp_path, clip)
    first = digests(tmp_path)
    film(actors, tmp_path, Clip(0, "sad", 3, 2))
    film(actors, tmp_path, clip)
    assert first.items() <= digests(tmp_path).items()


def test_picture_and_sound_are_as_long(corpus):
    folder, rows, _ = corpus
    for row in rows[::5]:
        with av.open(str(folder / row["path"])) as box:
            picture, sound = box.streams.video[0], box.streams.audio[0]
            assert picture.average_rate == 25
            assert (picture.width, picture.height) == (128, 128)
            assert (picture.codec.name, sound.codec.name) == ("h264", "aac")
            assert picture.frames == row["frames"]
            seconds = float(picture.duration * picture.time_base), float(sound.duration * sound.time_base)
        assert seconds[0] == pytest.approx(row["frames"] / 25, abs=1e-3)
        assert seconds[1] == pytest.approx(seconds[0], abs=1 / 25)


def test_facemesh_sees_the_face_the_mouth_and_the_blinks(actors, tmp_path):
    from mediapipe.python.solutions.face_mesh import FaceMesh

    video, truth = film(actors, tmp_path, Clip(1, "neutral", 1, 1))
    measured = []
    with FaceMesh(static_image_mode=True, max_num_faces=1) as detector, av.open(str(video)) as box:
        for picture in box.decode(video=0):
            faces = detector.process(picture.to_ndarray(format="rgb24")).multi_face_landmarks
            assert faces, f"no face in frame {len(measured)}"
            measured.append([(256 * p.x, 256 * p.y) for p in faces[0].landmark[:468]])
    measured = np.array(measured)
    shown = truth["landmarks_px"]
    assert np.linalg.norm(measured - shown, axis=2).mean() < 5
    gaps = np.linalg.norm(measured[:, 14] - measured[:, 13], axis=1)
    assert np.corrcoef(gaps, truth["mouth_gap_px"])[0, 1] > 0.9
    lids = np.linalg.norm(measured[:, 159] - measured[:, 145], axis=1)
    for start, end in truth["blinks"]:
        assert lids[start:end].min() < 0.85 * np.median(lids)


def test_the_truth_shuts_the_lips_on_every_bilabial(actors, tmp_path):
    for clip in (Clip(0, "happy", 3, 1), Clip(1, "surprised", 3, 1), Clip(0, "disgusted", 2, 4)):
        _, truth = film(actors, tmp_path, clip)
        assert all(np.isfinite(truth[key]).all() for key in ("landmarks_px", "parameters", "angles_rad"))
        phonemes = list(zip(truth["phonemes"].tolist(), truth["phoneme_starts_s"].tolist(), strict=True))
        shut = closures(phonemes)
        assert shut
        times = (np.arange(len(truth["mouth_gap_px"])) + 0.5) / 25
        for start, end in shut:
            frame = np.argmin(np.abs(times - (start + end) / 2))
            assert truth["mouth_gap_px"][frame] < 1.0
        assert truth["mouth_gap_px"].max() > 8


def test_longer_clips_say_more_sentences():
    clip = Clip(0, "happy", 1, 1)
    assert text_of(clip, 1.0).count(".") == 1
    assert text_of(clip, 5.0).count(".") == 2
    assert text_of(clip, 5.0).startswith(text_of(clip, 1.0))
