"""Pictures and videos of the report: contact sheet, film strips, and methods side by side in one playable file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.corpus.encode import write_mp4

CAPTION = 22  # px, the band that holds a label
GAP = 6  # px between pictures
STRIP_PX = 112  # edge of a picture in a row of them
PAPER, INK = (255, 255, 255), (34, 38, 46)
FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def save(picture: np.ndarray, path: Path) -> Path:
    """Write (H, W, 3) uint8 RGB as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=85, optimize=True)
    return path


def fit(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture (H, W, 3) inside a square of `size` px, on white."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    square = np.full((size, size, 3), PAPER, np.uint8)
    top, left = (size - shape[1]) // 2, (size - shape[0]) // 2
    square[top : top + shape[1], left : left + shape[0]] = small
    return square


def grid(
    rows: Sequence[Sequence[np.ndarray | None]], columns: Sequence[str], labels: Sequence[str], size: int
) -> np.ndarray:
    """Pictures in labelled rows and columns; None leaves a place empty."""
    left = 8 + max((_width(label) for label in labels), default=0)
    step = size + GAP
    sheet = np.full((CAPTION + len(rows) * step, left + len(columns) * step, 3), PAPER, np.uint8)
    for c, title in enumerate(columns):
        _write(sheet, title, left + c * step, 3, size)
    for r, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = CAPTION + r * step
        _write(sheet, label, 0, top + size // 2 - 8, left)
        for c, picture in enumerate(row):
            if picture is not None:
                sheet[top : top + size, left + c * step : left + c * step + size] = fit(picture, size)
    return sheet


def strip(videos: Mapping[str, np.ndarray], moments: int, size: int) -> np.ndarray:
    """A row a method, at `moments` evenly spaced frames. Videos are (n, H, W, 3), keyed by their label."""
    frames = min(len(video) for video in videos.values())
    chosen = np.linspace(0, frames - 1, moments + 2).round().astype(int)[1:-1]
    titles = [f"frame {i}" for i in chosen]
    return grid([[video[i] for i in chosen] for video in videos.values()], titles, list(videos), size)


def side_by_side(
    path: Path, videos: Mapping[str, np.ndarray], size: int, fps: int, seconds: float, audio: np.ndarray, rate: int
) -> Path:
    """Write labelled videos (n, H, W, 3) and one sound as one mp4, as long as the shortest and at most `seconds`."""
    count = min(round(seconds * fps), *(len(video) for video in videos.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, _joined(videos, count, size), fps, audio[: round(count / fps * rate)], rate)
    return path


def _joined(videos: Mapping[str, np.ndarray], count: int, size: int) -> Iterator[np.ndarray]:
    step = size + GAP
    board = np.full((CAPTION + size, len(videos) * step - GAP, 3), PAPER, np.uint8)
    board = np.pad(board, [(0, board.shape[0] % 2), (0, board.shape[1] % 2), (0, 0)], constant_values=255)
    for i, label in enumerate(videos):
        _write(board, label, i * step, 3, size)
    for frame in range(count):
        for i, video in enumerate(videos.values()):
            board[CAPTION : CAPTION + size, i * step : i * step + size] = fit(video[frame], size)
        yield board.copy()


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), 12)


def _width(text: str) -> int:
    return round(_font().getlength(text))


def _write(board: np.ndarray, text: str, x: int, y: int, width: int) -> None:
    """Draw one line of text into `board`, no wider than `width` px."""
    area = board[y : y + CAPTION - 4, x : x + width]
    line = Image.fromarray(area)
    ImageDraw.Draw(line).text((1, 0), text, font=_font(), fill=INK)
    area[:] = np.asarray(line)
