"""Stage `crop`: videos -> square clips of one face at a constant rate, their sound, and the landmarks of every frame.

Every item of sources.parquet gives clips, or a row of quarantine.parquet that says why not.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from stages import columns, shards, tables, tracking
from stages import params as parameters
from stages.corpus.decode import MediaError, frames, read_audio
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import box, edge
from stages.corpus.takes import Take, TakeFinder, shrunk
from stages.files import fresh_dir, sha256
from stages.params import Crop
from stages.program import one_line_errors

RAW, CLIPS, LANDMARKS = Path("data/raw"), Path("data/clips"), Path("data/landmarks")
UNIT = 8  # items in one piece of work: what a killed run loses, and what a small corpus is spread by
STRAY = 2  # percent of frames at either end whose face may stick out of the window
RIVAL = 0.6  # of the followed face's edge: a second face this large leaves open who speaks
SILENCE = 1e-3  # peak below which there is no sound
CARRIED = ("corpus", "speaker", "emotion", "level")
KILLED = "it killed the process that cropped it: a crash in a decoder, or out of memory"
TAR, ARROW, ROWS = "clips.tar", "landmarks.arrow", "rows.json"


class Reject(ValueError):
    """A take or an item cannot become a clip; the text is the reason."""


def jobs(sources: pd.DataFrame, raw_dir: Path, crop: Crop) -> tuple[list[tuple], list[str]]:
    """Work for :func:`crop_unit`, a few of the items that ingest found good in each, and the units' keys."""
    good = sources[sources["status"] == "ok"].sort_values("item_id").astype(object)
    items = good.where(good.notna(), None).to_dict("records")
    for item in items:
        item["audio_sha256"] = sha256(raw_dir / item["audio_path"]) if item["audio_path"] else None
    parts = shards.split_in_shards(items, UNIT)
    settings = crop.model_dump(exclude={"shard_clips"})
    version = shards.code_version(Path(__file__).parent)
    return [(part, str(raw_dir), settings) for part in parts], [shards.shard_key(p, settings, version) for p in parts]


def crop_unit(folder: Path, items: list[dict], raw_dir: str, settings: dict, alone: bool = False) -> None:
    """Crop a few items into `folder`: clips.tar, landmarks.arrow, rows.json.

    Args:
        alone: give each item a process of its own, so that one which kills its process is quarantined.
    """
    crop = Crop.model_validate(settings | {"shard_clips": len(items)})
    media = fresh_dir(folder / "media")
    clips, rejected, landmarks = [], [], {}
    with TakeFinder(crop) as finder:
        for item in items:
            try:
                if alone:
                    made, refused, found = _in_child(_crop_alone, item, Path(raw_dir), media, crop)
                else:
                    made, refused, found = crop_item(item, Path(raw_dir), media, crop, finder)
            except BrokenProcessPool:
                for leftover in media.glob(f"{item['item_id']}_p[0-9][0-9]*"):
                    leftover.unlink()
                made, refused, found = [], [_refusal(item, KILLED)], {}
            clips, rejected, landmarks = clips + made, rejected + refused, landmarks | found
    columns.write_shard(folder / ARROW, [{"clip_id": key, "landmarks": value} for key, value in landmarks.items()])
    _write_tar(folder / TAR, sorted(media.iterdir()))
    for path in media.iterdir():
        path.unlink()
    media.rmdir()
    rows = json.dumps({"clips": clips, "quarantine": rejected}, sort_keys=True)
    (folder / ROWS).write_text(rows, encoding="utf-8")


def crop_item(
    item: dict, raw_dir: Path, media: Path, crop: Crop, finder: TakeFinder
) -> tuple[list[dict], list[dict], dict[str, np.ndarray]]:
    """Clips of one video, written into `media` as <clip_id>.mp4 and .wav.

    Returns:
        Rows of tables.CLIPS (without "shard"), rows of tables.QUARANTINE, landmarks (frames, 478*3) by clip id.
        There is at least one row in all.
    """
    clips, rejected, landmarks = [], [], {}
    try:
        sound = _sound(item, raw_dir, crop.audio_rate)
        for take in finder.takes(frames(raw_dir / item["path"], crop.fps)):
            clip_id = f"{item['item_id']}_p{len(clips) + 1:02d}"
            try:
                row, landmarks[clip_id] = _clip(take, sound, crop, media / clip_id)
                clips.append({"clip_id": clip_id, **_origin(item), **row})
            except Reject as reject:
                span = {"start_s": take.start / crop.fps, "end_s": (take.start + len(take.frames)) / crop.fps}
                rejected.append(_refusal(item, str(reject)) | span)
        if not clips and not rejected:
            raise Reject("no face found")
    except (Reject, MediaError) as error:
        for clip in clips:
            _remove(media / clip["clip_id"])
        return [], [_refusal(item, str(error))], {}
    if len(clips) == 1:
        _rename(clips[0], item["item_id"], media, landmarks)
    return clips, rejected, landmarks


def window(boxes: np.ndarray, margin: float, size: tuple[int, int]) -> tuple[int, int, int]:
    """The one square, x y edge in px, that shows a face in all frames of a clip.

    Args:
        boxes: (n, 4) face boxes x0 y0 x1 y1.
        margin: space on every side, in edges of the square that just holds the face.
        size: width and height of the frame. The square is moved, then shrunk to fit in; only a face that is larger
            than the frame makes it stick out.
    """
    low, high = np.percentile(boxes[:, :2], STRAY, axis=0), np.percentile(boxes[:, 2:], 100 - STRAY, axis=0)
    extent = float((high - low).max())
    side = round(max(min(extent * (1 + 2 * margin), *size), min(extent, max(size))))
    corner = np.round((low + high - side) / 2).astype(int)
    room = np.array(size) - side
    x, y = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), corner)
    return int(x), int(y), max(int(side), 2)


def cut_out(rgb: np.ndarray, square: tuple[int, int, int], size: int) -> np.ndarray:
    """A square of a frame at size x size px; what lies outside the frame repeats its edge."""
    x, y, side = square
    height, width = rgb.shape[:2]
    top, left, bottom, right = max(-y, 0), max(-x, 0), max(y + side - height, 0), max(x + side - width, 0)
    part = rgb[max(y, 0) : y + side, max(x, 0) : x + side]
    if top or left or bottom or right:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return shrunk(part, size, size) if side >= size else cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC)


def interpolated(landmarks: list[np.ndarray | None]) -> np.ndarray:
    """(n, 478, 3): frames without a face lie on the line between their neighbours; the first and last have one."""
    known = np.array([i for i, points in enumerate(landmarks) if points is not None])
    values = np.stack([landmarks[i] for i in known]).reshape(len(known), -1)
    steps = np.arange(len(landmarks))
    if len(known) == len(steps):
        return values.reshape(len(steps), -1, 3)
    after = np.clip(np.searchsorted(known, steps), 1, len(known) - 1)
    left, right = known[after - 1], known[after]
    share = ((steps - left) / (right - left)).astype(np.float32)[:, None]
    return (values[after - 1] * (1 - share) + values[after] * share).reshape(len(steps), -1, 3)


def assemble(
    folders: list[Path], sources: pd.DataFrame, clips_dir: Path, landmarks_dir: Path, shard_clips: int
) -> dict[str, float]:
    """Units' folders -> data/clips and data/landmarks, in shards of about `shard_clips` clips; returns counts.

    Raises:
        Reject: there is not one clip.
        AssertionError: an item of `sources` has neither a clip nor a reason.
    """
    fresh_dir(clips_dir)
    fresh_dir(landmarks_dir)
    clips, rejected = [], []
    for group in shards.split_in_shards(folders, max(1, shard_clips // UNIT)):
        found = [json.loads((folder / ROWS).read_text(encoding="utf-8")) for folder in group]
        rejected += [row for rows in found for row in rows["quarantine"]]
        made = [row for rows in found for row in rows["clips"]]
        if made:
            name = f"shard-{len(list(clips_dir.glob('*.tar'))):05d}"
            _join(group, clips_dir / f"{name}.tar", landmarks_dir / f"{name}.arrow")
            clips += [row | {"shard": f"{name}.tar"} for row in made]
    failed = sources[sources["status"] != "ok"].astype(object)
    for item in failed.where(failed.notna(), None).to_dict("records"):
        rejected.append(_refusal(item, item["reason"]) | {"stage": "ingest"})
    if not clips:
        raise Reject("no video gave a clip: " + _summary(rejected))
    used, refused = {row.pop("item_id") for row in clips}, {row["item_id"] for row in rejected}
    tables.write(tables.from_rows(clips, tables.CLIPS), tables.CLIPS, clips_dir / "clips.parquet")
    tables.write(tables.from_rows(rejected, tables.QUARANTINE), tables.QUARANTINE, clips_dir / "quarantine.parquet")
    if used | refused != set(sources["item_id"]):
        raise AssertionError(
            f"items without a clip or a reason: {sorted(set(sources['item_id']) - used - refused)[:5]}"
        )
    return {
        "items": len(sources),
        "items_without_clip": len(refused - used),
        "clips": len(clips),
        "quarantined": len(rejected),
        "seconds": sum(row["frames"] / row["fps"] for row in clips),
        "detection_rate": float(np.mean([row["detection_rate"] for row in clips])),
    }


def crop_all(sources: pd.DataFrame, raw_dir: Path, crop: Crop) -> list[Path]:
    """Crop every good item; the shards' folders. A worker that dies costs its item, not the run."""
    work, keys = jobs(sources, raw_dir, crop)
    try:
        folders = shards.run_shards(crop_unit, work, keys, "crop", isolate=True)
    except BrokenProcessPool:
        print("crop: a worker process died; going on with a process for every item", flush=True)
        folders = shards.run_shards(crop_unit, [(*job, True) for job in work], keys, "crop")
    shards.keep_only("crop", keys)
    return folders


@one_line_errors("crop", Reject)
def main() -> None:
    params = parameters.load()
    sources = tables.read(RAW / "sources.parquet")
    with tracking.stage_run("crop", params, ["crop"]) as run:
        folders = crop_all(sources, RAW, params.crop)
        counts = assemble(folders, sources, CLIPS, LANDMARKS, params.crop.shard_clips)
        clips, quarantine = tables.read(CLIPS / "clips.parquet"), tables.read(CLIPS / "quarantine.parquet")
        print(f"crop: {len(clips)} clips of {counts['items']} items; {_summary(quarantine.to_dict('records'))}")
        run.summary(counts)
        run.dataset("clips", clips, CLIPS / "clips.parquet")
        if len(quarantine):
            run.table("quarantine", quarantine)


def _crop_alone(item: dict, raw_dir: Path, media: Path, crop: Crop) -> tuple:
    with TakeFinder(crop) as finder:
        return crop_item(item, raw_dir, media, crop, finder)


def _sound(item: dict, raw_dir: Path, rate: int) -> np.ndarray:
    sound = read_audio(raw_dir / (item["audio_path"] or item["path"]), rate)
    if not sound.size or np.abs(sound).max() < SILENCE:
        raise Reject("the sound is silent")
    return sound


def _clip(take: Take, sound: np.ndarray, crop: Crop, stem: Path) -> tuple[dict, np.ndarray]:
    """Write one take as clip; its row and its landmarks (frames, 478*3) in px of the clip."""
    begin = round(take.start * crop.audio_rate / crop.fps)
    audible = max(0, -(-(len(sound) - begin) * crop.fps // crop.audio_rate))  # frames that begin before the sound ends
    count = min(len(take.frames), audible)
    if count < crop.min_seconds * crop.fps:
        short = "with a face" if count == len(take.frames) else "with a face and sound"
        raise Reject(f"only {count / crop.fps:.2f} s {short}, less than crop.min_seconds = {crop.min_seconds:g}")
    pictures, found = take.frames[:count], take.landmarks[:count]
    rate = sum(points is not None for points in found) / count
    if rate < crop.min_detection_rate:
        raise Reject(
            f"a face in only {rate:.0%} of frames, less than crop.min_detection_rate = {crop.min_detection_rate:g}"
        )
    if found[-1] is None:
        found[-1] = next(points for points in reversed(found) if points is not None)
    points = interpolated(found)
    boxes = box(points[:, :468])
    face_px = float(np.median(edge(boxes))) / take.scale
    if face_px < crop.min_face:
        raise Reject(f"the face is {face_px:.0f} px wide or high, less than crop.min_face = {crop.min_face}")
    if take.rival >= RIVAL:
        raise Reject(f"two faces: the second is {take.rival:.0%} as large as the first")
    height, width = pictures[0].shape[:2]
    square = window(boxes, crop.margin, (width, height))
    points = (points - np.array([*square[:2], 0], np.float32)) * np.float32(crop.size / square[2])
    video, wav = stem.with_name(stem.name + ".mp4"), stem.with_name(stem.name + ".wav")
    write_mp4(video, (cut_out(rgb, square, crop.size) for rgb in pictures), crop.fps)
    samples = round(count * crop.audio_rate / crop.fps)
    piece = sound[begin : begin + samples]
    write_wav(wav, np.pad(piece, (0, samples - len(piece))), crop.audio_rate)
    row = {
        "start_s": take.start / crop.fps,
        "end_s": (take.start + count) / crop.fps,
        "frames": count,
        "fps": float(crop.fps),
        "width": crop.size,
        "height": crop.size,
        "audio_rate": crop.audio_rate,
        "audio_s": samples / crop.audio_rate,
        "face_px": round(face_px, 2),
        "detection_rate": rate,
        "sha256": sha256(video),
        "status": "ok",
        "reason": None,
    }
    return row, points.reshape(count, -1)


def _origin(item: dict) -> dict:
    return {"item_id": item["item_id"], "source_file": item["origin"], **{key: item[key] for key in CARRIED}}


def _refusal(item: dict, reason: str) -> dict:
    return {**_origin(item), "start_s": None, "end_s": None, "stage": "crop", "reason": reason}


def _summary(rejected: list[dict]) -> str:
    """Reasons and how often, the numbers in them left out."""
    reasons = Counter(re.sub(r"\d[\d.]*", "#", re.split(r"[:,]", row["reason"])[0]) for row in rejected)
    counted = ", ".join(f"{count} x {reason!r}" for reason, count in reasons.most_common())
    return f"{len(rejected)} rejected" + (f" ({counted})" if rejected else "")


def _rename(clip: dict, name: str, media: Path, landmarks: dict[str, np.ndarray]) -> None:
    old, clip["clip_id"] = clip["clip_id"], name
    landmarks[name] = landmarks.pop(old)
    for suffix in (".mp4", ".wav"):
        (media / f"{old}{suffix}").rename(media / f"{name}{suffix}")


def _remove(stem: Path) -> None:
    for suffix in (".mp4", ".wav"):
        stem.with_name(stem.name + suffix).unlink(missing_ok=True)


def _write_tar(path: Path, members: list[Path]) -> None:
    """An uncompressed USTAR of the files' contents alone: no time, owner or mode."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size = member.stat().st_size
            with member.open("rb") as file:
                tar.addfile(info, file)


def _join(folders: list[Path], tar_path: Path, arrow_path: Path) -> None:
    with tarfile.open(tar_path, "w", format=tarfile.USTAR_FORMAT) as joined:
        for folder in folders:
            with tarfile.open(folder / TAR, "r:") as tar:
                for member in tar:
                    joined.addfile(member, tar.extractfile(member))
    rows = [{"clip_id": clip_id, **values} for folder in folders for clip_id, values in columns.Columns(folder).items()]
    columns.write_shard(arrow_path, rows)


def _in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a process of its own.

    Raises:
        BrokenProcessPool: the process died.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
