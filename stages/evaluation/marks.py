"""How a talking head says that it is one: a visible mark, and a machine-readable note in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.evaluation.inputs import InputError

WATERMARK = "AI-generated"
MARK_MARGIN = 6  # px beside the text
SOFTWARE = "dreamtalk-open"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""What provenance standards (IPTC, C2PA) call media made by a trained model."""


def write_head(
    path: Path, frames: Iterable[np.ndarray], fps: int, sound: np.ndarray, rate: int, *, note: str, watermark: bool
) -> None:
    """Write a talking head, from whatever it was made: H.264, AAC, the note, and the mark unless it is declined.

    Args:
        frames: (H, W, 3) uint8 RGB, as long as the sound (samples,) float32 at `rate` Hz.
        note: see :func:`provenance`.
    """
    write_mp4(path, watermarked(frames) if watermark else frames, fps, sound, rate, comment=note)


def watermarked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames with a small text at the lower right that says what they are."""
    for frame in frames:
        frame = frame.copy()
        height, width = frame.shape[:2]
        scale = max(width / 800, 0.3)
        (across, _), _ = cv2.getTextSize(WATERMARK, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        scale *= min(1, (width - 2 * MARK_MARGIN) / across)  # small, rather than cut off
        (across, _), below = cv2.getTextSize(WATERMARK, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        corner = (width - across - MARK_MARGIN, height - below - 2)
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(frame, WATERMARK, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
        yield frame


def provenance(**about: object) -> str:
    """One line of JSON for the metadata's comment: that the video is synthetic, what made it, and what else is said."""
    note = {"synthetic": True, "notice": f"{WATERMARK}: synthetic talking head", "digital_source_type": SOURCE_TYPE}
    return json.dumps(note | {"software": SOFTWARE} | about, ensure_ascii=False)


def read_provenance(path: Path) -> dict | None:
    """The note of a video of ours; None: it is no video, or has none."""
    try:
        with decode.opened(path) as container:
            note = json.loads(container.metadata.get("comment", ""))
    except (OSError, ValueError):  # MediaError is one
        return None
    return note if isinstance(note, dict) and note.get("software") == SOFTWARE else None


def check_free(out: Path) -> None:
    """Raises:
    InputError: a file is there already that is no talking head of ours; those may be made anew.
    """
    if out.is_file() and read_provenance(out) is None:
        raise InputError(f"{out} exists and is no talking head made here: give another name, or --overwrite")
