"""CSIM: does the face stay the same person? (ArcFace, Deng et al., CVPR 2019)

The recognition network is the user's: the published ArcFace weights are for research only and are not shipped. Fisher's
faces, learned from the corpus, answer the same question under another name, `id_sim_corpus`: their cosines are not
ArcFace's, and compare only with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from dreamtalk_models.identity_judge import IdentityJudge

EYES = slice(36, 42), slice(42, 48)
NOSE_TIP, MOUTH_CORNERS = 30, [48, 54]
TEMPLATE = np.array(  # px of the 112×112 input: eyes, tip of the nose, mouth corners (as published)
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
SIZE = 112
Recogniser = Callable[[np.ndarray], np.ndarray]
"""(n, 112, 112, 3) uint8 RGB aligned faces → (n, E) unit vectors."""


class ArcFace:
    """An ArcFace network in ONNX form: (B, 3, 112, 112) RGB in [-1, 1] → (B, E).

    Raises:
        ValueError: onnxruntime is not installed, or the file is missing or no such network; says which.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError("CSIM needs onnxruntime: `pip install onnxruntime`") from error
        if not path.is_file():
            raise ValueError(f"no ArcFace network at {path} (evaluate.arcface_onnx)")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises types of its own, without a common base
            raise ValueError(f"{path} is no ONNX network that can be read: {error}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != [3, SIZE, SIZE]:
            raise ValueError(f"{path} does not take (B, 3, 112, 112): {[i.shape for i in inputs]}")

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """(n, 112, 112, 3) uint8 RGB aligned faces → (n, E) unit vectors."""
        name = self._session.get_inputs()[0].name
        batch = (faces.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        embeddings = np.concatenate([self._session.run(None, {name: face[None]})[0] for face in batch])
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


class Fisherfaces:
    """The judge that was fitted to the corpus' own faces, as a :data:`Recogniser`."""

    def __init__(self, judge: IdentityJudge) -> None:
        self._judge = judge

    @torch.no_grad()
    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """(n, 112, 112, 3) uint8 RGB aligned faces → (n, E) unit vectors."""
        return self._judge(torch.from_numpy(faces)).numpy()


def aligned_faces(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Faces moved, turned and scaled onto ArcFace's template; frames without a face are left out.

    Args:
        frames: (n, H, W, 3) uint8 RGB.
        landmarks: (n, 68, 2) px, NaN where no face was found.

    Returns:
        (m, 112, 112, 3) uint8, m ≤ n.
    """
    faces = [_align(f, points) for f, points in zip(frames, landmarks, strict=True) if np.isfinite(points).all()]
    return np.array(faces, dtype=np.uint8).reshape(-1, SIZE, SIZE, 3)


def csim(recogniser: Recogniser, portrait: np.ndarray, faces: np.ndarray) -> float:
    """Mean cosine similarity of the portrait, (112, 112, 3), with every frame, (n, 112, 112, 3); higher is better."""
    return float((recogniser(faces) @ recogniser(portrait[None])[0]).mean())


def _align(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    five = np.stack([*(points[eye].mean(0) for eye in EYES), points[NOSE_TIP], *points[MOUTH_CORNERS]])
    matrix = _similarity(five.astype(np.float64), TEMPLATE.astype(np.float64))
    return cv2.warpAffine(frame, matrix, (SIZE, SIZE))


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The (2, 3) rotation, scale and shift that brings (k, 2) points onto others with least squares."""
    x, y = source.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, tx, ty = np.linalg.lstsq(system, target.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])
