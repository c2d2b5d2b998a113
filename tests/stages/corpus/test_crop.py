"""Every video gives clips of one face, or a reason; the same bytes however the work is done."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages import shards, tables
from stages.columns import Columns, write_shard
from stages.corpus import crop as stage
from stages.corpus.clip import Reject, crop_item
from stages.corpus.crop import assemble, crop_all, crop_shard
from stages.corpus.decode import read_audio, read_video
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import FaceMesh
from stages.corpus.media import Clips
from stages.corpus.takes import TakeFinder
from stages.corpus.windows import cut_out, window
from tests.stages.corpus.tiny_videos import RATE, hum, item, nod, turn, two_faces, write_times


@pytest.fixture
def cropped(tmp_path, crop, finder):
    """Crop one video; clips, rejected, landmarks. Media lie in tmp_path/media."""
    (tmp_path / "media").mkdir()

    def run(path: Path, audio: Path | None = None):
        return crop_item(item(path, audio), tmp_path / "media", crop, finder)

    return run


def test_a_clip_is_what_its_row_says(tmp_path, film, cropped, crop):
    (row,), rejected, landmarks = cropped(film("a.mp4"))
    assert rejected == []
    assert (row["clip_id"], row["frames"], row["detection_rate"]) == ("a", 20, 1.0)
    pictures, sound = read_video(tmp_path / "media/a.mp4", 25), read_audio(tmp_path / "media/a.wav", RATE)
    assert pictures.shape == (20, crop.size, crop.size, 3)
    assert len(sound) == 20 * RATE // 25
    assert 80 < row["face_px"] < 140
    assert landmarks["a"].shape == (20, 478 * 3)
    with FaceMesh(static=True) as mesh:  # landmarks stand where the clip's own face is
        again = mesh.landmarks(pictures[10])
    assert np.abs(landmarks["a"][10].reshape(478, 3)[:, :2] - again[:, :2]).mean() < 2


@pytest.mark.parametrize(("rate", "seconds"), [(8, 1.0), (60, 0.6)])
def test_other_frame_rates(film, cropped, rate, seconds):
    (row,), _, _ = cropped(film("a.mp4", seconds=seconds, fps=rate))
    assert abs(row["frames"] - 25 * seconds) <= 25 / rate
    assert abs(row["audio_s"] - row["frames"] / 25) < 1e-6


def test_variable_rate_and_turned_pictures(tmp_path, cropped, face):
    path, wav = tmp_path / "a.mp4", tmp_path / "a.wav"
    write_times(path, [np.rot90(rgb) for rgb in nod(face, 20)], np.cumsum([0, *[20, 60] * 9, 40]))
    turn(path)
    write_wav(wav, hum(0.8), RATE)
    (row,), _, _ = cropped(path, wav)
    assert abs(row["frames"] - 20) <= 1


def test_a_cut_makes_two_clips(film, cropped, face):
    other = cv2.convertScaleAbs(face[:, ::-1], alpha=-0.4, beta=160)
    other[40:180] = np.ascontiguousarray(face[40:180, ::-1])
    clips, _, _ = cropped(film("a.mp4", [*nod(face, 15), *nod(other, 15)]))
    assert [row["clip_id"] for row in clips] == ["a_p01", "a_p02"]
    assert [(row["start_s"], row["frames"]) for row in clips] == [(0.0, 15), (0.6, 15)]


def test_long_takes_are_cut_in_pieces_without_a_gap(film, crop, tmp_path, face):
    short, media = crop.model_copy(update={"max_seconds": 0.8}), tmp_path / "media"
    media.mkdir()
    with TakeFinder(short) as finder:
        clips, rejected, _ = crop_item(item(film("a.mp4", nod(face, 45))), media, short, finder)
    assert [(row["start_s"], row["end_s"]) for row in clips] == [(0.0, 0.8), (0.8, 1.6)]
    assert "only 0.20 s" in rejected[0]["reason"]


def test_what_cannot_become_a_clip_says_why(tmp_path, film, cropped, face):
    grey = np.full((120, 120, 3), 120, np.uint8)
    small = np.full((360, 480, 3), 110, np.uint8)
    small[200:272, 300:372] = cv2.resize(face, (72, 72), interpolation=cv2.INTER_AREA)  # a face of a tenth
    double = np.concatenate([face, face], axis=1)
    rng = np.random.default_rng(0)
    noisy = [cv2.add(rgb, rng.integers(0, 40, rgb.shape).astype(np.uint8)) for rgb in nod(face, 30)]
    cut = film("cut.mp4", noisy)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    silent = tmp_path / "videos/silent.mp4"
    write_mp4(silent, nod(face, 20), 25, np.zeros(RATE, np.float32), RATE)
    cases = {
        film("mute.mp4", sound=False): "has no sound",
        silent: "silent",
        film("grey.mp4", [grey] * 20): "no face",
        film("far.mp4", [small] * 20): "the face is 3",
        film("short.mp4", seconds=0.2): "only 0.20 s with a face, less than",
        film("two.mp4", [double] * 20): "two faces",
        cut: "cut off|cannot be read",
    }
    for path, reason in cases.items():
        clips, rejected, landmarks = cropped(path)
        assert clips == [] and landmarks == {}, path.name
        assert len(rejected) == 1
        assert re.search(reason, rejected[0]["reason"]), path.name
    assert list((tmp_path / "media").iterdir()) == []


def test_a_face_seen_too_rarely_is_rejected(film, cropped, face):
    pictures = nod(face, 30)
    for i in range(4, 28, 4):
        pictures[i] = np.full_like(face, 128)
    clips, rejected, _ = cropped(film("a.mp4", pictures))
    assert clips == [] and rejected


def test_the_larger_of_two_faces_is_followed(tmp_path, film, cropped, face):
    (row,), _, _ = cropped(film("a.mp4", two_faces(face, 0.45)))
    assert row["face_px"] > 80


def test_sound_that_ends_early_ends_the_clip(tmp_path, film, cropped):
    video, wav = film("a.mp4", sound=False), tmp_path / "videos/a.wav"
    write_wav(wav, hum(0.5), RATE)
    (row,), _, _ = cropped(video, wav)
    assert (row["frames"], row["audio_s"]) == (13, 0.52)


def test_window():
    still = np.tile(np.float32([100, 110, 200, 190]), (50, 1))
    assert window(still, 0.25, (400, 300)) == (75, 75, 150)
    strayed = still.copy()
    strayed[0] += 90  # one frame of many does not move it
    assert np.abs(np.subtract(window(strayed, 0.25, (400, 300)), (75, 75, 150))).max() <= 3
    assert window(still, 0.25, (210, 400)) == (60, 75, 150)  # moved inside
    assert window(still, 0.25, (210, 120))[1:] == (0, 120)  # shrunk
    x, y, side = window(np.float32([[-5, -5, 105, 105]]), 0.25, (100, 100))
    assert (x, y, side) == (0, 0, 100)


def test_what_lies_outside_repeats_the_edge():
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    out = cut_out(rgb, (-4, -6, 40), 40)
    assert np.array_equal(out[6:26, 4:34], rgb)
    assert np.array_equal(out[0, 4:34], rgb[0]) and np.array_equal(out[30, 4:34], rgb[-1])


def sources(rows: list[dict]):
    return tables.from_rows(rows, tables.SOURCES)


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_bytes_for_any_number_of_workers_and_after_a_kill(tmp_path, film, crop, monkeypatch):
    rows = [item(film(f"{name}.mp4", seconds=0.5)) for name in "abc"]
    rows.append(item(film("mute.mp4", sound=False)))
    rows.append(rows[0] | {"item_id": "bad", "status": "failed", "path": None, "reason": "has no video stream"})
    results = []
    for workers, drop in (("2", False), ("1", True)):
        monkeypatch.setenv("DREAMTALK_WORKERS", workers)
        monkeypatch.setattr(shards, "WORK", tmp_path / f"work{workers}")
        if drop:  # a run that was killed: two units are done, of a third only its temporary folder is there
            shutil.copytree(tmp_path / "work2", tmp_path / "work1")
            lost = sorted((tmp_path / "work1/crop").iterdir())[:2]
            shutil.rmtree(lost[0])
            lost[1].rename(lost[1].with_name(f".{lost[1].name}.1.tmp"))
        folders = crop_all(sources(rows), crop)
        out = tmp_path / f"out{workers}"
        counts = assemble(folders, sources(rows), out / "clips", out / "landmarks", crop.shard_clips)
        results.append((digest(out / "clips"), digest(out / "landmarks"), counts))
    assert results[0] == results[1]
    assert (results[0][2]["clips"], results[0][2]["items"], results[0][2]["items_without_clip"]) == (3, 5, 2)
    clips, landmarks = Clips(out / "clips"), Columns(out / "landmarks")
    assert clips.ids == sorted(landmarks) == ["a", "b", "c"]
    assert clips.frames("b").shape == (len(landmarks["b"]["landmarks"]), crop.size, crop.size, 3)
    assert len(clips.audio("b")) == clips.table.loc["b", "frames"] * RATE // 25
    quarantine = tables.read(out / "clips/quarantine.parquet")
    assert dict(zip(quarantine["item_id"], quarantine["stage"], strict=True)) == {"bad": "ingest", "mute": "crop"}


def cropped_items(folder: Path, clips_of: dict[str, int]) -> None:
    """What crop_shard leaves of items, with clips of a few bytes."""
    for name, count in clips_of.items():
        (folder / name).mkdir(parents=True)
        ids = [f"{name}_p{number:02d}" for number in range(1, count + 1)]
        row = dict.fromkeys(tables.CLIPS.names) | {"item_id": name, "frames": 1, "fps": 25.0, "detection_rate": 1.0}
        rows = {"clips": [row | {"clip_id": clip_id} for clip_id in ids], "quarantine": []}
        (folder / name / stage.ROWS).write_text(json.dumps(rows))
        stage.write_tar(folder / name / stage.TAR, [])
        landmarks = [{"clip_id": clip_id, "landmarks": np.zeros((1, 6), np.float32)} for clip_id in ids]
        write_shard(folder / name / stage.ARROW, landmarks)


def test_an_item_more_changes_the_file_that_it_comes_into_and_leaves_the_others(tmp_path):
    clips_of = {f"item{number:03d}": 1 + number % 3 for number in range(150)}
    cropped_items(tmp_path / "items", {"first": 1, **clips_of})
    files = []
    for names in (sorted(clips_of), ["first", *sorted(clips_of)]):
        table, folders = sources([{"item_id": name} for name in names]), [tmp_path / "items" / name for name in names]
        counts = assemble(folders, table, tmp_path / "clips", tmp_path / "landmarks", 10)
        clips = tables.read(tmp_path / "clips/clips.parquet")
        sizes = clips.groupby("shard").size()
        assert counts["clips"] == len(clips) and sizes.max() < 20 + 3 and 6 < sizes.mean() < 14
        assert (clips.groupby(clips["clip_id"].str[:-4])["shard"].nunique() == 1).all()
        files.append(digest(tmp_path / "landmarks"))
    before, after = (set(digests.values()) for digests in files)
    assert len(before) > 20 and len(before - after) == 1


def test_changed_parameters_or_sound_are_other_work(tmp_path, film, crop):
    video, wav, keys = film("a.mp4"), tmp_path / "videos/a.wav", set()
    for seconds, size in ((0.5, 128), (0.6, 128), (0.6, 192)):
        write_wav(wav, hum(seconds), RATE)
        row = item(video, wav)
        keys |= set(stage.jobs(sources([row]), crop.model_copy(update={"size": size}))[1])
    assert len(keys) == 3


def deadly(folder: Path, item: dict, settings: dict, alone: bool = False) -> None:
    """crop_shard of a decoder that crashes over one of the videos."""
    if item["item_id"] == "b":
        stage._crop = die
    crop_shard(folder, item, settings, alone)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_crash_in_native_code_costs_one_item(tmp_path, film, crop, monkeypatch):
    monkeypatch.setattr(shards, "WORK", tmp_path / "work")
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    healthy = stage._crop
    monkeypatch.setattr(stage, "_crop", healthy)  # what `deadly` does in this process is undone
    rows = [item(film(f"{name}.mp4", seconds=0.5)) for name in "abcd"]
    work, keys = stage.jobs(sources(rows), crop)
    with pytest.raises(BrokenProcessPool):
        shards.run_shards(deadly, work, keys, "crop", isolate=True)
    assert keys[1] in shards.interrupted("crop", keys)
    monkeypatch.setattr(stage, "crop_shard", deadly)
    folders = crop_all(sources(rows), crop)
    assemble(folders, sources(rows), tmp_path / "clips", tmp_path / "landmarks", 8)
    assert Clips(tmp_path / "clips").ids == ["a", "c", "d"]
    (row,) = tables.read(tmp_path / "clips/quarantine.parquet").to_dict("records")
    assert row["item_id"] == "b" and "killed the process" in row["reason"]
    monkeypatch.setattr(stage, "crop_shard", crop_shard)  # memory was short, and is not any more
    monkeypatch.setattr(stage, "_crop", healthy)
    assemble(crop_all(sources(rows), crop), sources(rows), tmp_path / "clips", tmp_path / "landmarks", 8)
    assert Clips(tmp_path / "clips").ids == list("abcd")


def greedy(folder: Path, item: dict, settings: dict, alone: bool = False) -> None:
    """crop_shard of videos of which each takes all the memory that there is."""
    with (folder.parents[1] / "memory").open("w") as memory:
        try:
            fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)
        (folder / "rows.json").write_text("{}")


def test_videos_that_fit_into_memory_one_at_a_time_all_come(tmp_path, film, crop, monkeypatch):
    monkeypatch.setattr(shards, "WORK", tmp_path / "work")
    monkeypatch.setattr(stage, "crop_shard", greedy)
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    rows = [item(film(f"{name}.mp4", seconds=0.2)) for name in "ab"]
    assert all((folder / "rows.json").exists() for folder in crop_all(sources(rows), crop))


def test_no_clip_at_all_is_an_error_with_the_reasons_and_leaves_their_table(tmp_path):
    rows = sources([item(Path(__file__)) | {"status": "failed", "reason": "has no video stream"}])
    with pytest.raises(Reject, match=r"no video gave a clip: .*'test_crop\.py' has no video stream"):
        assemble([], rows, tmp_path / "clips", tmp_path / "landmarks", 8)
    assert list(tables.read(tmp_path / "clips/quarantine.parquet")["reason"]) == ["has no video stream"]
