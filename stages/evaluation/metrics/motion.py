"""Metrics on 3DMM motion, before any rendering: motion distance, lip vertex error, intensity."""

from __future__ import annotations

import numpy as np


def motion_distance(truth: np.ndarray, generated: np.ndarray) -> float:
    """MD: mean over frames of the L2 distance of expression, (n, D); lower is better (DreamTalk, section IV).

    Coefficient units, so only comparable within one face model; the longer motion is cut. NaN without frames.
    """
    n = min(len(truth), len(generated))
    return float(np.linalg.norm(truth[:n] - generated[:n], axis=1).mean()) if n else float("nan")


def lip_vertex_error(truth: np.ndarray, generated: np.ndarray) -> float:
    """LVE: squared L2 error of the worst mouth vertex of each frame, mean over frames (MeshTalk, ICCV 2021).

    Args:
        truth, generated: (n, V·3) mouth vertices in model units (inter-ocular distance = 1); the longer is cut.

    Returns:
        squared model units; lower is better; NaN without frames.
    """
    n = min(len(truth), len(generated))
    error = (truth[:n] - generated[:n]).reshape(n, -1, 3)
    return float((error**2).sum(2).max(1).mean()) if n else float("nan")


def intensity(expression: np.ndarray, neutral: np.ndarray | float) -> float:
    """How strong an expression is: mean over frames of the L2 distance from the speaker's neutral face.

    Args:
        expression: (n, D).
        neutral: (D,) mean expression of the speaker's neutral clips; 0 is the face model's neutral face.
    """
    return float(np.linalg.norm(expression - neutral, axis=1).mean())
