"""Faces in pictures: boxes by mediapipe's detectors, 478 landmarks by its FaceMesh (the models lie in its wheel)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import cv2
import numpy as np

LANDMARKS = 478  # 468 of the mesh, then 2 x 5 of the irises
DETECTOR_CONFIDENCE = 0.5
SAME_FACE_IOU = 0.3

_ONE_AT_A_TIME = threading.RLock()  # stderr belongs to all threads

cv2.setNumThreads(1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stderr from native code: mediapipe greets every start of a graph with warnings that nobody can act on,
    and offers no switch."""
    with _ONE_AT_A_TIME:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


class FaceMesh:
    """The 478 landmarks of a face; a context manager.

    With ``static=False`` (video) the face is tracked from call to call and looked for anew only when it is lost:
    give the frames of one take in order and call :meth:`reset` before the next. With ``static=True`` every picture
    is on its own.
    """

    def __init__(self, static: bool = False, max_faces: int = 1) -> None:
        # mediapipe takes a second to import, which those who only ask for the state of a corpus need not wait
        from mediapipe.python.solutions import face_mesh

        with _quiet():
            self._mesh = face_mesh.FaceMesh(
                static_image_mode=static,
                max_num_faces=max_faces,
                refine_landmarks=True,
                min_detection_confidence=DETECTOR_CONFIDENCE,
                min_tracking_confidence=DETECTOR_CONFIDENCE,
            )
            self._start()

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()

    def reset(self) -> None:
        """Forget the tracked face."""
        with _quiet():
            self._mesh.reset()
            self._start()

    def _start(self) -> None:
        """Let the graph load its networks, and say what it has to say, on a picture without a face."""
        self._mesh.process(np.zeros((16, 16, 3), np.uint8))
        self._fresh = True

    def landmarks(self, rgb: np.ndarray) -> np.ndarray | None:
        """Landmarks of one face, (478, 3) float32: x right, y down in px, z towards the back in the same scale.

        None where no face is found. rgb is (H, W, 3) uint8.
        """
        found = self.all_landmarks(rgb)
        return found[0] if found else None

    def all_landmarks(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Landmarks of up to `max_faces` faces; see :meth:`landmarks`."""
        square = _squared(rgb)
        with _quiet() if self._fresh else nullcontext():
            found = self._mesh.process(square).multi_face_landmarks or []
        self._fresh = False
        scale = np.array([square.shape[1], square.shape[0], square.shape[1]], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale for face in found]


class FaceDetector:
    """Boxes of all faces down to about a tenth of the picture's shorter side; a context manager."""

    def __init__(self) -> None:
        from mediapipe.python.solutions.face_detection import FaceDetection

        with _quiet():
            self._far, self._near = (FaceDetection(DETECTOR_CONFIDENCE, model_selection=model) for model in (1, 0))
            for detector in (self._far, self._near):
                detector.process(np.zeros((16, 16, 3), np.uint8))

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self._far.close()
        self._near.close()

    def boxes(self, rgb: np.ndarray) -> np.ndarray:
        """(faces, 4) float32, x0 y0 x1 y1 in px, the largest first.

        The detector sees 192 x 192 px, so a picture without a large face is searched again in overlapping squares.
        """
        found = self._in_picture(rgb)
        if len(found):
            return found
        shorter, longer = sorted(rgb.shape[:2])
        return self.in_squares(rgb, shorter if longer > 1.2 * shorter else 2 * shorter // 3)

    def _in_picture(self, rgb: np.ndarray) -> np.ndarray:
        far = _boxes(self._far.process(rgb), rgb.shape)
        return _largest_first(far if len(far) else _boxes(self._near.process(rgb), rgb.shape))

    def in_squares(self, rgb: np.ndarray, edge: int) -> np.ndarray:
        """As :meth:`boxes`, looked for in overlapping squares of `edge` px, in each down to about a tenth of it."""
        height, width = rgb.shape[:2]
        found = [np.zeros((0, 4), np.float32)]
        for y in _starts(height, edge):
            for x in _starts(width, edge):
                square = np.ascontiguousarray(rgb[y : y + edge, x : x + edge])
                found.append(_boxes(self._far.process(square), square.shape) + np.float32([x, y, x, y]))
        return _largest_first(np.concatenate(found))


def box(landmarks: np.ndarray) -> np.ndarray:
    """Bounding box x0 y0 x1 y1 of landmarks (..., points, 2 or more): (..., 4)."""
    xy = landmarks[..., :2]
    return np.concatenate([xy.min(axis=-2), xy.max(axis=-2)], axis=-1)


def edge(boxes: np.ndarray) -> np.ndarray:
    """Longer side of boxes (..., 4): (...)."""
    return np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common, 1e-9)


def _squared(rgb: np.ndarray) -> np.ndarray:
    """Padded at right and below to a square: FaceMesh places a tilted face wrongly in pictures that are none."""
    height, width = rgb.shape[:2]
    if height == width:
        return rgb
    longer = max(height, width)
    return cv2.copyMakeBorder(rgb, 0, longer - height, 0, longer - width, cv2.BORDER_CONSTANT)


def _starts(length: int, edge: int) -> list[int]:
    steps = max(1, -(-2 * (length - edge) // edge)) if length > edge else 0
    return [round(i * (length - edge) / steps) for i in range(steps + 1)] if steps else [0]


def _boxes(result: object, shape: tuple[int, ...]) -> np.ndarray:
    found = [d.location_data.relative_bounding_box for d in result.detections or []]
    relative = np.array([(b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height) for b in found], np.float32)
    return relative.reshape(-1, 4) * np.float32([shape[1], shape[0], shape[1], shape[0]])


def _largest_first(boxes: np.ndarray) -> np.ndarray:
    kept: list[np.ndarray] = []
    for candidate in boxes[np.argsort(-edge(boxes), kind="stable")]:
        if all(overlap(candidate, other) < SAME_FACE_IOU for other in kept):
            kept.append(candidate)
    return np.array(kept, np.float32).reshape(-1, 4)
