"""CPBD, cumulative probability of blur detection (Narvekar and Karam, QoMEX 2009 and IEEE TIP 2011)."""

from __future__ import annotations

import cv2
import numpy as np

BLOCK = 64  # px
EDGE_SHARE = 0.002  # of a block's pixels, above which it has edges worth judging
LOW_CONTRAST = 50  # grey levels
WIDTH_LOW, WIDTH_HIGH = 5.0, 3.0  # px, just noticeable blur in blocks of low and of high contrast
BETA = 3.6
JUST_NOTICEABLE = 63  # %, probability at which blur is noticed
CANNY_SIGMA = 2**0.5
CANNY_QUIET = 0.7  # share of pixels whose gradient lies below the high threshold
CANNY_BINS = 64  # of the histogram that finds that threshold
CANNY_RATIO = 0.4  # low threshold / high threshold


def cpbd(frames: np.ndarray) -> np.ndarray:
    """Sharpness without reference of every frame, from 0 to 1: the share of edges whose blur goes unnoticed.

    Vertical edges are found with Sobel's operator (above twice the root mean square response, thinned along the row).
    Their width is the run of falling or rising grey around them in the row (Marziliano et al. 2002). In each whole
    64×64 block with more than 0.2 % Canny pixels, an edge of width w is seen as blurred with the probability
    1 − exp(−(w / w_jnb)^3.6), with w_jnb 5 px where the block's contrast is at most 50 grey levels and 3 px elsewhere.
    CPBD is the share of edges with a probability, in whole percent, of at most 63.

    The Canny thresholds follow the picture as in MATLAB's `edge`, on which the published numbers rest. Edge detectors
    differ, and with them implementations: on frames of 20 real clips this one and the Python port `cpbd` 1.0.7 are 0.04
    apart in the mean and 0.15 at most, and correlate by 0.85. So compare only within one. On the reference's own image,
    img1 of LIVE's blurred pictures, the authors' MATLAB code gives 0.1353 and the port 0.1120, as the port's repository
    has it. The picture may not be passed on, and this function was not run on it.

    Args:
        frames: (n, H, W, 3) uint8 RGB, or (n, H, W) grey.

    Returns:
        (n,) float64; NaN for a frame without any edge, as a black one.
    """
    return np.array([_frame(frame) for frame in frames], dtype=np.float64)


def _frame(frame: np.ndarray) -> float:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
    rows, columns, rising = vertical_edges(grey)
    widths = edge_widths(grey, rows, columns, rising)
    noticeable, judged = _blocks(grey)
    block = rows // BLOCK, columns // BLOCK
    inside = (block[0] < judged.shape[0]) & (block[1] < judged.shape[1])
    block, widths = (block[0][inside], block[1][inside]), widths[inside]
    probability = 1 - np.exp(-((widths / noticeable[block]) ** BETA))
    percent = np.rint(100 * probability[judged[block]])
    return float((percent <= JUST_NOTICEABLE).mean()) if percent.size else float("nan")


def vertical_edges(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and direction (True = grey rises to the right) of the thinned vertical edges of (H, W) uint8.

    Edges whose gradient is not within 22.5° of the row are left out: the row does not cross them.
    """
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    along = cv2.Sobel(grey, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    strength = across * across
    inner = strength[:, 1:-1]
    peak = (inner > 4 * strength.mean()) & (inner > strength[:, :-2]) & (inner >= strength[:, 2:])
    rows, columns = np.nonzero(peak)
    columns = columns + 1
    crossed = np.abs(along[rows, columns]) <= np.tan(np.pi / 8) * np.abs(across[rows, columns])
    rows, columns = rows[crossed], columns[crossed]
    return rows, columns, across[rows, columns] > 0


def edge_widths(grey: np.ndarray, rows: np.ndarray, columns: np.ndarray, rising: np.ndarray) -> np.ndarray:
    """Width in px of each edge: from the local extremum of grey on its left to that on its right, at least 2."""
    sign = np.where(rising, 1, -1)
    # the pixels beside the edge pixel belong to the edge whatever they are
    return 2 + _monotone_run(grey, rows, columns - 1, -1, -sign) + _monotone_run(grey, rows, columns + 1, 1, sign)


def _monotone_run(grey: np.ndarray, rows: np.ndarray, columns: np.ndarray, step: int, sign: np.ndarray) -> np.ndarray:
    """How many pixels grey goes on rising (sign 1) or falling (-1), walking along the row from the given pixels."""
    grey = grey.astype(np.int16)
    length = np.zeros(len(rows), dtype=np.int64)
    going = np.arange(len(rows))
    while going.size:
        here = columns[going] + step * length[going]
        going, here = (x[(here + step >= 0) & (here + step < grey.shape[1])] for x in (going, here))
        rise = grey[rows[going], here + step] - grey[rows[going], here]
        going = going[rise * sign[going] > 0]
        length[going] += 1
    return length


def _blocks(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per whole block: the width of just noticeable blur in px, and whether it has edges enough to be judged."""
    high, wide = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK

    def blocks(picture: np.ndarray) -> np.ndarray:
        return picture[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK).swapaxes(1, 2)

    pixels = blocks(grey)
    contrast = pixels.max((2, 3)).astype(int) - pixels.min((2, 3))
    judged = blocks(_canny(grey)).mean((2, 3)) > EDGE_SHARE
    return np.where(contrast <= LOW_CONTRAST, WIDTH_LOW, WIDTH_HIGH), judged


def _canny(grey: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(grey, (0, 0), CANNY_SIGMA)
    across = cv2.Sobel(smooth, cv2.CV_16S, 1, 0)
    along = cv2.Sobel(smooth, cv2.CV_16S, 0, 1)
    magnitude = cv2.magnitude(across.astype(np.float32), along.astype(np.float32))
    top = max(float(magnitude.max()), 1.0)
    counts = cv2.calcHist([magnitude], [0], None, [CANNY_BINS], [0, np.nextafter(np.float32(top), np.inf)])
    quiet = np.searchsorted(counts.cumsum(), CANNY_QUIET * magnitude.size, side="right")
    high = top * (quiet + 1) / CANNY_BINS
    return cv2.Canny(across, along, CANNY_RATIO * high, high, L2gradient=True) > 0
