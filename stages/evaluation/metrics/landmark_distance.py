"""Landmark distances F-LMD and M-LMD (Chen et al., ATVGnet, CVPR 2019) and the correlation of mouth opening."""

from __future__ import annotations

import numpy as np

from dreamtalk_models.face_topology import LANDMARKS68

MOUTH = slice(48, 68)
INNER_LIPS = (62, 66)  # middle of the upper and of the lower one


def landmarks68(mesh: np.ndarray) -> np.ndarray:
    """The 68 iBUG points of FaceMesh's, (n, 478, 3) px → (n, 68, 2) px; NaN stays NaN."""
    return mesh[:, np.array(LANDMARKS68), :2].mean(2)


def found(landmarks: np.ndarray) -> np.ndarray:
    """(n,) bool: frames with a face, of landmarks (n, points, 2 or 3)."""
    return np.isfinite(landmarks).all((1, 2))


def face_rate(landmarks: np.ndarray) -> float:
    """Share of frames in which a face was found, 0 to 1; 0 without frames."""
    return float(found(landmarks).mean()) if len(landmarks) else 0.0


def f_lmd(truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Distance of all 68 points, (n, 68, 2) px → (n,) px a frame; lower is better.

    Each face is centred by the mean of its own points, which takes out where the head is but not how it is turned or
    how large it is. Mean of the Euclidean distances over the points; NaN where either frame has no face. The unit is
    the pixel of the frames compared: 256 px squares as in the paper.
    """
    return _centred_distance(truth, generated).mean(1)


def m_lmd(truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """As :func:`f_lmd` for the 20 mouth points 48..67, centred by the mean of the mouth: mean over the points."""
    return _centred_distance(truth[:, MOUTH], generated[:, MOUTH]).mean(1)


def m_lmd_sum(truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """As :func:`m_lmd`, but summed over the 20 points, as ATVGnet's own script does: 20 times as large."""
    return _centred_distance(truth[:, MOUTH], generated[:, MOUTH]).sum(1)


def mouth_opening_correlation(truth: np.ndarray, generated: np.ndarray) -> float:
    """Pearson correlation over time of the inner lips' distance, (n, 68, 2) px; higher is better, at most 1.

    NaN where fewer than three frames have both faces or a mouth does not move at all.
    """
    both = found(truth) & found(generated)
    a, b = (np.linalg.norm(m[both, INNER_LIPS[0]] - m[both, INNER_LIPS[1]], axis=1) for m in (truth, generated))
    if both.sum() < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _centred_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a[..., :2], b[..., :2]
    return np.linalg.norm((a - a.mean(1, keepdims=True)) - (b - b.mean(1, keepdims=True)), axis=2)
