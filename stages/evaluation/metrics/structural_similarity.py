"""SSIM (Wang et al., IEEE TIP 2004)."""

from __future__ import annotations

import cv2
import numpy as np

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def ssim(truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Structural similarity of every frame, 1 for equal pictures; higher is better, no unit.

    11×11 Gaussian window of σ 1.5, K 0.01 and 0.03, data range 255, population covariance; mean over the positions
    where the window lies within the picture and over the colour channels R, G, B.

    Args:
        truth, generated: (n, H, W, 3) uint8.

    Returns:
        (n,) float64.

    Raises:
        ValueError: the shapes differ, or the pictures are smaller than the window.
    """
    if truth.shape != generated.shape:
        raise ValueError(f"SSIM compares pictures of one shape: {truth.shape} and {generated.shape}")
    if min(truth.shape[1:3]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW} px: {truth.shape[1:3]}")
    return np.array([_frame(a, b) for a, b in zip(truth, generated, strict=True)], dtype=np.float64)


def _frame(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float32), b.astype(np.float32)
    mean_a, mean_b = _blur(a), _blur(b)
    cross, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    covariance = _blur(a * b) - cross
    variances = _blur(a * a + b * b) - squares
    similarity = (2 * cross + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return float(similarity.mean(dtype=np.float64))


def _blur(picture: np.ndarray) -> np.ndarray:
    inner = WINDOW // 2
    return cv2.GaussianBlur(picture, (WINDOW, WINDOW), SIGMA)[inner:-inner, inner:-inner]
