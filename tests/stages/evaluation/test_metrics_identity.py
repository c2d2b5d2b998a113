"""CSIM: faces are brought onto the template, and likeness is a cosine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.evaluation.metrics.identity import SIZE, TEMPLATE, ArcFace, aligned_faces, csim


def landmarks(turn: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """Landmarks whose five points are the template, turned, scaled and shifted."""
    c, s = np.cos(turn), np.sin(turn)
    five = scale * TEMPLATE @ np.array([[c, s], [-s, c]]) + shift
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[30], points[48], points[54] = five
    return points


def test_a_turned_and_scaled_face_comes_back_upright():
    template = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 5)
    c, s = 1.7 * np.cos(0.3), 1.7 * np.sin(0.3)
    picture = cv2.warpAffine(template, np.array([[c, -s, 60.0], [s, c, 20.0]]), (256, 256))
    faces = aligned_faces(picture[None], landmarks(0.3, 1.7, (60, 20))[None])
    difference = np.abs(faces[0].astype(int) - template)[10:-10, 10:-10]
    assert difference.mean() < 2


def test_frames_without_a_face_are_left_out():
    points = np.stack([landmarks(0, 1, (0, 0)), np.full((68, 2), np.nan)])
    assert aligned_faces(np.zeros((2, 128, 128, 3), np.uint8), points).shape == (1, SIZE, SIZE, 3)
    assert aligned_faces(np.zeros((1, 128, 128, 3), np.uint8), points[1:]).shape == (0, SIZE, SIZE, 3)


def test_csim_is_the_mean_cosine():
    def embed(faces: np.ndarray) -> np.ndarray:
        angle = faces[:, 0, 0, 0] * np.pi / 180
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    faces = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    faces[1:, 0, 0, 0] = 60, 90
    assert csim(embed, faces[0], faces[:1]) == pytest.approx(1)
    assert csim(embed, faces[0], faces) == pytest.approx((1 + 0.5 + 0) / 3)


def test_a_missing_or_foreign_network_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"onnxruntime|no ArcFace network at"):
        ArcFace(tmp_path / "none.onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ValueError, match="no ONNX network"):
        ArcFace(tmp_path / "junk.onnx")
