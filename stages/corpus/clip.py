"""One video -> square clips of one face at a constant rate, their sound, the landmarks of every frame; or the reason
why not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from stages.corpus.decode import MediaError, frames, probe, read_audio
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import box, edge
from stages.corpus.gaps import bridged
from stages.corpus.sync_filter import out_of_sync
from stages.corpus.takes import Meant, Take, TakeFinder
from stages.corpus.thumbnails import glimpse, thumbnail
from stages.corpus.windows import STRAY, cut_out, share_outside, sticks_out, windows
from stages.files import sha256, unquoted
from stages.params import Crop

RIVAL = 0.6  # of the followed face's edge: a second face this large leaves open who speaks
SILENCE = 1e-3  # peak below which there is no sound
CARRIED = ("corpus", "speaker", "emotion", "level")


class Reject(ValueError):
    """A take or an item cannot become a clip; the text is the reason."""


class TooShort(Reject):
    """A take is shorter than a clip may be."""

    def __init__(self, seconds: float, what: str, least: float, times: int = 1) -> None:
        self.seconds, self.what, self.least = seconds, what, least
        seen = f"only {seconds:.2f} s" if times == 1 else f"{times} times, but only {seconds:.2f} s at a stretch,"
        super().__init__(f"{seen} {what}, less than crop.min_seconds = {least:g}")


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
    clips, rejected, short, landmarks = [], [], [], {}
    begin, end = item["start_s"] or 0.0, item["end_s"]
    try:
        _check_rate(item, crop)
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
                row = refusal(item, str(reject), thumbnail(take.frames[len(take.frames) // 2])) | span
                if isinstance(reject, TooShort):
                    short.append((reject, row))
                else:
                    rejected.append(row)
        rejected += _together(short)
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


def _together(short: list[tuple[TooShort, dict]]) -> list[dict]:
    """One row for all takes of an item that are too short, with the picture of the longest."""
    if not short:
        return []
    longest, row = max(short, key=lambda pair: pair[0].seconds)
    reason = str(TooShort(longest.seconds, longest.what, longest.least, len(short)))
    return [row | {"reason": reason, "start_s": short[0][1]["start_s"], "end_s": short[-1][1]["end_s"]}]


def _check_rate(item: dict, crop: Crop) -> None:
    if crop.min_source_fps:
        rate = probe(unquoted(item["path"])).fps
        if rate < crop.min_source_fps:
            raise Reject(
                f"{rate:.4g} frames a second in the source, less than crop.min_source_fps = {crop.min_source_fps:g}"
            )


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
        what = "with a face" if count == len(take.frames) else "with a face and sound"
        raise TooShort(count / crop.fps, what, crop.min_seconds)
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
    return bridged(found), rate


def _squares(take: Take, points: np.ndarray, crop: Crop, zoom: float) -> np.ndarray:
    """What is cut out of each kept frame, (n, 3) x y edge."""
    size, boxes = take.frames[0].shape[1::-1], box(points[:, :468])
    if take.window is not None:
        x, y, side = np.round((take.window - [*take.region[:2], 0]) * take.scale).astype(int)
        squares = np.tile((x, y, side), (len(points), 1))
        padded = min(x, y) < 0 or max(x + side - size[0], y + side - size[1]) > 1
    else:
        margin = ((1 + 2 * crop.margin) * zoom - 1) / 2
        squares = windows(boxes, margin, size, crop.smoothing_s * crop.fps)
        padded = sticks_out(boxes, margin, size)
    outside = share_outside(boxes, squares, size)
    if outside > STRAY / 100:
        raise Reject(
            f"the face sticks out of the {'picture' if take.window is None else 'window'} in {outside:.0%} of frames"
        )
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
