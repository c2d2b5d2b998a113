"""One video -> square clips of one face at a constant rate, their sound, the landmarks of every frame; or the reason
why not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from stages.corpus.decode import MediaError, frames, read_audio
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import box, edge
from stages.corpus.takes import Take, TakeFinder, shrunk
from stages.files import sha256, unquoted
from stages.params import Crop

STRAY = 2  # percent of frames at either end whose face may stick out of the window
RIVAL = 0.6  # of the followed face's edge: a second face this large leaves open who speaks
SILENCE = 1e-3  # peak below which there is no sound
CARRIED = ("corpus", "speaker", "emotion", "level")


class Reject(ValueError):
    """A take or an item cannot become a clip; the text is the reason."""


def crop_item(
    item: dict, media: Path, crop: Crop, finder: TakeFinder
) -> tuple[list[dict], list[dict], dict[str, np.ndarray]]:
    """Clips of one video, written into `media` as <clip_id>.mp4 and .wav.

    Returns:
        Rows of tables.CLIPS (without "shard"), rows of tables.QUARANTINE, landmarks (frames, 478*3) by clip id.
        There is at least one row in all.
    """
    clips, rejected, landmarks = [], [], {}
    try:
        sound = _sound(item, crop.audio_rate)
        for take in finder.takes(frames(unquoted(item["path"]), crop.fps)):
            clip_id = f"{item['item_id']}_p{len(clips) + 1:02d}"
            try:
                row, landmarks[clip_id] = _clip(take, sound, crop, media / clip_id)
                clips.append({"clip_id": clip_id, **origin(item), **row})
            except Reject as reject:
                span = {"start_s": take.start / crop.fps, "end_s": (take.start + len(take.frames)) / crop.fps}
                rejected.append(refusal(item, str(reject)) | span)
        if not clips and not rejected:
            raise Reject("no face found")
    except (ValueError, RuntimeError, MemoryError, cv2.error) as error:
        for leftover in media.glob(f"{item['item_id']}_p[0-9][0-9]*"):
            leftover.unlink()
        known = isinstance(error, Reject | MediaError)
        return [], [refusal(item, str(error) if known else f"failed unexpectedly: {error!r}")], {}
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


def origin(item: dict) -> dict:
    """What a clip's row carries over from its item's."""
    return {"item_id": item["item_id"], "source_file": item["origin"], **{key: item[key] for key in CARRIED}}


def refusal(item: dict, reason: str) -> dict:
    """Row of tables.QUARANTINE for a whole item."""
    return {**origin(item), "start_s": None, "end_s": None, "stage": "crop", "reason": reason}


def _sound(item: dict, rate: int) -> np.ndarray:
    sound = read_audio(unquoted(item["audio_path"] or item["path"]), rate)
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


def _rename(clip: dict, name: str, media: Path, landmarks: dict[str, np.ndarray]) -> None:
    old, clip["clip_id"] = clip["clip_id"], name
    landmarks[name] = landmarks.pop(old)
    for suffix in (".mp4", ".wav"):
        (media / f"{old}{suffix}").rename(media / f"{name}{suffix}")
