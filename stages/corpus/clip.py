"""One video -> square clips of one face at a constant rate, their sound, the landmarks of every frame; or the reason
why not."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from stages.corpus.decode import MediaError, frames, read_audio
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import box, edge
from stages.corpus.sync_filter import out_of_sync
from stages.corpus.takes import Meant, Take, TakeFinder, shrunk
from stages.files import sha256, unquoted
from stages.params import Crop

STRAY = 2  # percent of frames at either end whose face may stick out of the window
RIVAL = 0.6  # of the followed face's edge: a second face this large leaves open who speaks
THUMBNAIL = 128  # px, longer side
SILENCE = 1e-3  # peak below which there is no sound
CARRIED = ("corpus", "speaker", "emotion", "level")


class Reject(ValueError):
    """A take or an item cannot become a clip; the text is the reason."""


def crop_item(
    item: dict, media: Path, crop: Crop, finder: TakeFinder
) -> tuple[list[dict], list[dict], dict[str, np.ndarray]]:
    """Clips of one item, written into `media` as <clip_id>.mp4 and .wav.

    Returns:
        Rows of tables.CLIPS (without "shard"), rows of tables.QUARANTINE (each with "jpeg" besides, a small picture of
        what was rejected, base64, or None), landmarks (frames, 478*3) by clip id. There is at least one row in all.

    Raises:
        OSError: a file cannot be written.
    """
    clips, rejected, landmarks = [], [], {}
    begin, end = item["start_s"] or 0.0, item["end_s"]
    try:
        sound = _sound(item, crop.audio_rate, begin, end)
        pictures = frames(unquoted(item["path"]), crop.fps, begin, end)
        for take in finder.takes(pictures, _meant(item)):
            clip_id = f"{item['item_id']}_p{len(clips) + 1:02d}"
            span = {"start_s": begin + take.start / crop.fps, "end_s": begin + take.end / crop.fps}
            try:
                row, landmarks[clip_id] = _clip(take, sound, crop, item["zoom"] or 1.0, media / clip_id)
                clips.append({"clip_id": clip_id, **origin(item), **span, **row})
                clips[-1]["end_s"] = span["start_s"] + row["frames"] / crop.fps
            except Reject as reject:
                shown = thumbnail(take.frames[len(take.frames) // 2])
                rejected.append(refusal(item, str(reject), shown) | span)
        if not clips and not rejected:
            raise Reject("no face found")
    except (ValueError, RuntimeError, MemoryError, cv2.error) as error:
        for leftover in media.glob(f"{item['item_id']}_p[0-9][0-9]*"):
            leftover.unlink()
        known = isinstance(error, Reject | MediaError)
        reason = str(error) if known else f"failed unexpectedly: {error!r}"
        return [], [refusal(item, reason, glimpse(unquoted(item["path"]), begin))], {}
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


def sticks_out(boxes: np.ndarray, margin: float, size: tuple[int, int]) -> bool:
    """Does the square that `margin` asks for need more than the frame? See :func:`window`."""
    low, high = np.percentile(boxes[:, :2], STRAY, axis=0), np.percentile(boxes[:, 2:], 100 - STRAY, axis=0)
    half = float((high - low).max()) * (1 + 2 * margin) / 2
    middle = (low + high) / 2
    return bool((middle < half).any() or (middle + half > size).any())


def windows(boxes: np.ndarray, margin: float, size: tuple[int, int], smoothing: float) -> np.ndarray:
    """Squares of one size, (n, 3) x y edge in px, that show a face in each frame.

    Args:
        boxes, margin, size: see :func:`window`.
        smoothing: standard deviation, in frames, of the Gaussian that the face's path is smoothed with; 0: the square
            stands still.
    """
    if smoothing == 0:
        return np.tile(window(boxes, margin, size), (len(boxes), 1))
    middle = gaussian_filter1d((boxes[:, :2] + boxes[:, 2:]) / 2, smoothing, axis=0, mode="nearest")
    reach = np.percentile(np.maximum(boxes[:, 2:] - middle, middle - boxes[:, :2]).max(axis=1), 100 - STRAY)
    side = max(min(round(float(2 * reach) * (1 + 2 * margin)), *size), 2)
    corner = np.clip(np.round(middle - side / 2), 0, np.array(size) - side).astype(int)
    return np.concatenate([corner, np.full((len(corner), 1), side)], axis=1)


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


def refusal(item: dict, reason: str, jpeg: str | None = None) -> dict:
    """Row of tables.QUARANTINE for a whole item, and a picture of it."""
    return {
        **origin(item),
        "start_s": item["start_s"],
        "end_s": item["end_s"],
        "stage": "crop",
        "reason": reason,
        "jpeg": jpeg,
    }


def thumbnail(rgb: np.ndarray) -> str:
    """A frame as a small JPEG, in base64."""
    height, width = rgb.shape[:2]
    scale = THUMBNAIL / max(height, width)
    small = shrunk(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data).decode()


def glimpse(path: Path, start: float = 0.0) -> str | None:
    """A thumbnail of a video a moment after `start` seconds, or of its first frame; None where nothing is readable."""
    found = None
    try:
        for number, rgb in enumerate(frames(path, 1.0, start)):
            found = rgb
            if number == 1:
                break
    except (MediaError, OSError, ValueError):
        pass
    return None if found is None else thumbnail(found)


def _meant(item: dict) -> Meant:
    face, window = (None if item[name] is None else tuple(item[name]) for name in ("face", "window"))
    return Meant(face, window, item["zoom"] or 1.0)


def _sound(item: dict, rate: int, begin: float, end: float | None) -> np.ndarray:
    sound = read_audio(unquoted(item["audio_path"] or item["path"]), rate, begin, end)
    if not sound.size and begin:
        raise Reject(f"has no sound from {begin:.1f} s on, where the part that is wanted begins")
    if not sound.size or np.abs(sound).max() < SILENCE:
        raise Reject("the sound is silent")
    return sound


def _clip(take: Take, sound: np.ndarray, crop: Crop, zoom: float, stem: Path) -> tuple[dict, np.ndarray]:
    """Write one take as clip; its row and its landmarks (frames, 478*3) in px of the clip."""
    first = round(take.start * crop.audio_rate / crop.fps)
    audible = max(0, -(-(len(sound) - first) * crop.fps // crop.audio_rate))  # frames that begin before the sound ends
    count = min(len(take.frames), audible)
    if count < crop.min_seconds * crop.fps:
        short = "with a face" if count == len(take.frames) else "with a face and sound"
        raise Reject(f"only {count / crop.fps:.2f} s {short}, less than crop.min_seconds = {crop.min_seconds:g}")
    points, rate = _landmarks(take, count, crop)
    face_px = float(np.median(edge(box(points[:, :468])))) / take.scale
    if face_px < crop.min_face:
        raise Reject(f"the face is {face_px:.0f} px wide or high, less than crop.min_face = {crop.min_face}")
    if take.rival is not None and take.rival >= RIVAL:
        raise Reject(f"two faces: the second is {take.rival:.0%} as large as the first")
    squares = _squares(take, points, crop, zoom)
    corners = np.pad(squares[:, :2], ((0, 0), (0, 1)))[:, None].astype(np.float32)
    points = (points - corners) * np.float32(crop.size / squares[0, 2])
    samples = round(count * crop.audio_rate / crop.fps)
    piece = sound[first : first + samples]
    piece = np.pad(piece, (0, samples - len(piece)))
    pictures = (cut_out(rgb, square, crop.size) for rgb, square in zip(take.frames, squares, strict=False))
    if crop.sync.weights is not None:
        pictures = np.stack(list(pictures))
        if wrong := out_of_sync(crop.sync, pictures, points, piece, crop.audio_rate):
            raise Reject(wrong)
    video, wav = stem.with_name(stem.name + ".mp4"), stem.with_name(stem.name + ".wav")
    write_mp4(video, pictures, crop.fps)
    write_wav(wav, piece, crop.audio_rate)
    x, y, side = (float(value) / take.scale for value in squares[0])
    row = {
        "frames": count,
        "fps": float(crop.fps),
        "width": crop.size,
        "height": crop.size,
        "audio_rate": crop.audio_rate,
        "audio_s": samples / crop.audio_rate,
        "window": [round(x + take.region[0], 2), round(y + take.region[1], 2), round(side, 2)],
        "face_px": round(face_px, 2),
        "detection_rate": rate,
        "sha256": sha256(video),
        "status": "ok",
        "reason": None,
    }
    return row, points.reshape(count, -1)


def _landmarks(take: Take, count: int, crop: Crop) -> tuple[np.ndarray, float]:
    """Landmarks of the first frames, (count, 478, 3) px of what is kept, and the share of frames that had them."""
    found = take.landmarks[:count]
    rate = sum(points is not None for points in found) / count
    if rate < crop.min_detection_rate:
        raise Reject(
            f"a face in only {rate:.0%} of frames, less than crop.min_detection_rate = {crop.min_detection_rate:g}"
        )
    if found[-1] is None:
        found[-1] = next(points for points in reversed(found) if points is not None)
    return interpolated(found), rate


def _squares(take: Take, points: np.ndarray, crop: Crop, zoom: float) -> np.ndarray:
    """What is cut out of each kept frame, (n, 3) x y edge."""
    size = take.frames[0].shape[1::-1]
    if take.window is not None:
        x, y, side = np.round((take.window - [*take.region[:2], 0]) * take.scale).astype(int)
        squares = np.tile((x, y, side), (len(points), 1))
        padded = min(x, y) < 0 or max(x + side - size[0], y + side - size[1]) > 1
    else:
        boxes, margin = box(points[:, :468]), ((1 + 2 * crop.margin) * zoom - 1) / 2
        squares = windows(boxes, margin, size, crop.smoothing_s * crop.fps)
        padded = sticks_out(boxes, margin, size)
    if padded and crop.reject_padding:
        raise Reject("the window sticks out of the picture, which crop.reject_padding forbids")
    if (edge_px := squares[0, 2] / take.scale) < crop.min_window:
        raise Reject(f"the window is {edge_px:.0f} px in the source, less than crop.min_window = {crop.min_window}")
    return squares


def _rename(clip: dict, name: str, media: Path, landmarks: dict[str, np.ndarray]) -> None:
    old, clip["clip_id"] = clip["clip_id"], name
    landmarks[name] = landmarks.pop(old)
    for suffix in (".mp4", ".wav"):
        (media / f"{old}{suffix}").rename(media / f"{name}{suffix}")
