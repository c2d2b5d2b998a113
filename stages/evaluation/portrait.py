"""Portraits: any photograph as an RGB picture of a useful size, and the one face in it that will speak."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.evaluation.inputs import InputError, check_input

if TYPE_CHECKING:
    from dreamtalk_models.face_model import FaceModel
    from stages.params import Fit

MESH_POINTS = 468  # of mediapipe's 478; the irises move with the eyes and are left out
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")  # Pillow runs a program for some others
SMALLEST = 256  # px, longer side; smaller pictures are enlarged
SEARCH_MARGIN = 0.6  # of a face box's longer side, kept on every side where its landmarks are looked for


@dataclass(frozen=True)
class Portrait:
    """The face in a picture.

    Attributes:
        landmarks: (468, 3) px in the picture; z in the same scale.
        identity: (I,) of the face model.
        expression: (D,) that the face wears in the picture.
        angles: (3,) rad. translation: (3,) as in the face model's ``project``.
    """

    landmarks: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    angles: np.ndarray
    translation: np.ndarray


def read_picture(path: Path) -> np.ndarray:
    """Any photograph as (H, W, 3) uint8 RGB: upright (EXIF), grey, CMYK and palettes converted, transparency on white.

    Raises:
        InputError: the file is missing, unreadable or no picture.
    """
    check_input(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.seek(0)
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not a picture that can be read; give a JPEG, PNG, WebP, AVIF, TIFF or BMP"
        ) from error
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is damaged or too large to read as a picture: {error}") from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a channel
        values = np.asarray(image, np.float64)
        span = max(float(np.ptp(values)), 1e-9)
        image = Image.fromarray(np.rint((values - values.min()) * (255 / span)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("RGB"))


def resized(picture: np.ndarray, longest: int) -> np.ndarray:
    """`picture` with its longer side at most `longest` px and at least 256, both sides even."""
    height, width = picture.shape[:2]
    side = max(height, width)
    scale = min(max(side, SMALLEST), longest) / side
    size = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    if size == (width, height):
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def square_matrix(landmarks: np.ndarray, margin: float, size: int) -> np.ndarray:
    """(2, 3) from picture to the square round a face, as the corpus is cropped: the box of the landmarks grown by
    `margin` of its longer side on every side, scaled to `size` px."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    edge = (high - low).max() * (1 + 2 * margin)
    corner = (low + high) / 2 - edge / 2
    scale = size / edge
    return np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])


def square_round(picture: np.ndarray, landmarks: np.ndarray, margin: float, size: int) -> np.ndarray:
    """The square round a face, (size, size, 3), see :func:`square_matrix`; where the picture ends its border is
    repeated."""
    matrix = square_matrix(landmarks, margin, size)
    scale = matrix[0, 0]
    if scale < 1:  # average before shrinking, since warpAffine samples points
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def find_face(picture: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    """Landmarks (468, 3) px of the largest face in a picture (H, W, 3), and how many faces there are.

    Args:
        name: of the picture, for the error.

    Raises:
        InputError: no face is found.
    """
    from stages.corpus.faces import FaceDetector, FaceMesh

    with FaceDetector() as detector:
        boxes = detector.boxes(picture)
    with FaceMesh(static=True) as mesh:
        for x0, y0, x1, y1 in [surrounding(box, picture) for box in boxes[:1]] + [(0, 0, *picture.shape[1::-1])]:
            landmarks = mesh.landmarks(np.ascontiguousarray(picture[y0:y1, x0:x1]))
            if landmarks is not None:
                return landmarks[:MESH_POINTS] + np.float32([x0, y0, 0]), max(1, len(boxes))
    raise InputError(f"{name}: no face found; give a photograph with one face, seen from the front, not too small")


def surrounding(box: np.ndarray, picture: np.ndarray) -> tuple[int, int, int, int]:
    """The part of the picture round a face in which FaceMesh sees that face best."""
    height, width = picture.shape[:2]
    grow = SEARCH_MARGIN * float((box[2:] - box[:2]).max())
    x0, y0 = np.floor(np.maximum(box[:2] - grow, 0)).astype(int)
    x1, y1 = np.ceil(np.minimum(box[2:] + grow, (width, height))).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def fitted(landmarks: np.ndarray, model: FaceModel, settings: Fit) -> Portrait:
    """The face model fitted to the landmarks (468, 3) px of one picture."""
    from stages.features.landmark_fit import fit_landmarks

    found = fit_landmarks(model, landmarks[None], settings)
    first = (found[name][0] for name in ("expression", "angles", "translation"))
    return Portrait(landmarks, found["identity"], *first)
