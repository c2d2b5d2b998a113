"""What of a photograph is filmed: the square round the face, or all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from stages.evaluation.inputs import InputError
from stages.evaluation.portrait import find_face, resized, square_matrix, square_round, surrounding

if TYPE_CHECKING:
    from stages.params import Crop

Frame = Literal["face", "picture"]
LOOK = 1024  # px; larger photographs are searched at this size
PART = 512  # px; squares in which a large photograph is searched where it shows no face at that size
FEATHER = 0.08  # of a square's edge, in which it fades into the picture that it is pasted into


@dataclass(frozen=True)
class View:
    """What a renderer is given, and the picture that its frames belong into.

    Attributes:
        picture: (H, W, 3) uint8 RGB. landmarks: (468, 3) px in it.
        faces: in the photograph. face_px: width of the one that speaks there, before any change of size.
        whole: the photograph (H', W', 3), and matrix: (2, 3) from it to `picture`; None where frames stand alone.
        longest: px, longer side of frames that are shown smaller than they are drawn; None: shown as they are.
    """

    picture: np.ndarray
    landmarks: np.ndarray
    faces: int
    face_px: float
    whole: np.ndarray | None = None
    matrix: np.ndarray | None = None
    longest: int | None = None

    def film(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Frames as they are shown."""
        if self.whole is not None:
            return pasted(frames, self.whole, self.matrix)
        return iter(frames) if self.longest is None else (resized(frame, self.longest) for frame in frames)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video, px."""
        height, width = next(self.film([self.picture])).shape[:2]
        return width, height


def view(picture: np.ndarray, name: str, frame: Frame, size: int, margin: float) -> View:
    """For the mesh warp, which moves a face within any picture: the photograph, or a square of it round the face.

    Args:
        name: of the photograph, for errors.
        size: px, the longer side at most.
        margin: round the face, of its landmarks' box, where only the square is wanted; less where the picture ends.

    Raises:
        InputError: no face is found.
    """
    landmarks, faces, face_px = _looked(picture, name)
    if frame == "face":
        picture, corner = _square(picture, landmarks, margin)
        landmarks = landmarks - np.float32([*corner, 0])
    shown = resized(picture, size)
    return View(shown, _again(shown, landmarks * (shown.shape[1] / picture.shape[1])), faces, face_px)


def drawn_view(picture: np.ndarray, name: str, frame: Frame, size: int, crop: Crop) -> View:
    """For PIRenderer, which draws the square that it was trained on; it is pasted back where all is wanted.

    Args and raises as :func:`view`.
    """
    landmarks, faces, face_px = _looked(picture, name)
    square = square_round(picture, landmarks, crop.margin, crop.size)
    matrix = square_matrix(landmarks, crop.margin, crop.size)
    points = _again(square, landmarks * matrix[0, 0] + [*matrix[:, 2], 0])
    if frame == "face":
        return View(square, points, faces, face_px, longest=min(size, crop.size))
    whole = resized(picture, size)
    scaled = landmarks * (whole.shape[1] / picture.shape[1])
    return View(square, points, faces, face_px, whole, square_matrix(scaled, crop.margin, crop.size))


def _looked(picture: np.ndarray, name: str) -> tuple[np.ndarray, int, float]:
    """Landmarks (468, 3) px, how many faces, and the face's width in px."""
    small = resized(picture, LOOK)
    try:
        landmarks, faces = find_face(small, name)
        landmarks = landmarks * (picture.shape[1] / small.shape[1])
    except InputError:
        if max(picture.shape) <= LOOK:
            raise
        landmarks, faces = _in_parts(picture, name)
    return landmarks, faces, float(np.ptp(landmarks[:, 0]))


def _in_parts(picture: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    """As :func:`stages.evaluation.portrait.find_face`, of a face that is small in a large photograph."""
    from stages.corpus.faces import FaceDetector

    with FaceDetector() as detector:
        boxes = detector.in_squares(picture, PART)
    x0, y0, x1, y1 = surrounding(boxes[0], picture) if len(boxes) else (0, 0, *picture.shape[1::-1])
    landmarks, _ = find_face(np.ascontiguousarray(picture[y0:y1, x0:x1]), name)
    return landmarks + np.float32([x0, y0, 0]), max(1, len(boxes))


def _again(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The landmarks of the face where it is drawn: looked for anew, or where that is too small, as they were found in
    the photograph."""
    try:
        return find_face(picture, "")[0]
    except InputError:
        return landmarks.astype(np.float32)


def _square(picture: np.ndarray, landmarks: np.ndarray, margin: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of the picture round a face, and where its corner lies, x and y."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    height, width = picture.shape[:2]
    edge = int(min((high - low).max() * (1 + 2 * margin), height, width))
    x, y = np.clip((low + high) / 2 - edge / 2, 0, (width - edge, height - edge)).astype(int).tolist()
    return np.ascontiguousarray(picture[y : y + edge, x : x + edge]), (x, y)


def pasted(frames: Iterable[np.ndarray], whole: np.ndarray, matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Square frames put back into the picture that they were cut from, their edges faded."""
    height, width = whole.shape[:2]
    share = base = None
    for frame in frames:
        if share is None:
            share = cv2.warpAffine(_fade(frame.shape[0]), matrix, (width, height), flags=_BACK)[..., None]
            base = whole * (1 - share)
        there = cv2.warpAffine(frame, matrix, (width, height), flags=_BACK, borderMode=cv2.BORDER_REPLICATE)
        yield np.rint(base + share * there).astype(np.uint8)


_BACK = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _fade(size: int) -> np.ndarray:
    """(size, size) float32: 1 inside, 0 at the edges."""
    ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / (FEATHER * size), 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)
