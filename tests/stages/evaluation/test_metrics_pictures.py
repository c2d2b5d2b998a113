"""SSIM and CPBD against independent implementations and what they must do."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from stages.evaluation.metrics.sharpness import cpbd, edge_widths, vertical_edges
from stages.evaluation.metrics.structural_similarity import ssim


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return cv2.resize(skimage.data.astronaut()[:400, 60:460], (256, 256), interpolation=cv2.INTER_AREA)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(picture, (sigma, sigma, 0)) if sigma else picture


def test_ssim_equals_scikit_image(portrait: np.ndarray):
    noise = np.random.default_rng(0).normal(0, 20, portrait.shape)
    others = np.stack([blurred(portrait, 2), np.clip(portrait + noise, 0, 255).astype(np.uint8), portrait[:, ::-1]])
    expected = [
        structural_similarity(
            portrait, o, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
        for o in others
    ]
    np.testing.assert_allclose(ssim(np.stack([portrait] * 3), others), expected, atol=1e-5)


def test_ssim_is_one_for_equal_pictures_even_black_ones(portrait: np.ndarray):
    pictures = np.stack([portrait, np.zeros_like(portrait)])
    np.testing.assert_allclose(ssim(pictures, pictures), 1, atol=1e-6)


def test_ssim_refuses_other_shapes(portrait: np.ndarray):
    with pytest.raises(ValueError, match="one shape"):
        ssim(portrait[None], portrait[None, :128])
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(portrait[None, :8], portrait[None, :8])


def test_blur_lowers_cpbd_step_by_step(portrait: np.ndarray):
    values = cpbd(np.stack([blurred(portrait, sigma) for sigma in (0, 0.5, 0.8, 1.2)]))
    assert (np.diff(values) < 0).all()
    assert values[0] > 0.3 and cpbd(blurred(portrait, 5)[None])[0] < 0.05


def test_cpbd_of_sharp_steps_is_one_and_of_no_edge_is_unknown():
    bars = np.zeros((2, 128, 128, 3), np.uint8)
    bars[0, :, 20:50] = bars[0, :, 80:110] = 200
    values = cpbd(bars)
    assert values[0] == 1 and np.isnan(values[1])


def widths_by_walking(grey: np.ndarray, row: int, column: int, rising: bool) -> int:
    """Marziliano's width, pixel by pixel, as the words of the paper have it."""
    line = grey[row].astype(int) * (1 if rising else -1)
    left = column - 1
    while left - 1 >= 0 and line[left - 1] < line[left]:
        left -= 1
    right = column + 1
    while right + 1 < len(line) and line[right + 1] > line[right]:
        right += 1
    return right - left


def test_edge_widths_equal_a_walk_along_the_row(portrait: np.ndarray):
    grey = cv2.cvtColor(blurred(portrait, 1), cv2.COLOR_RGB2GRAY)
    rows, columns, rising = vertical_edges(grey)
    walked = [widths_by_walking(grey, *edge) for edge in zip(rows, columns, rising, strict=True)]
    assert len(walked) > 100
    assert edge_widths(grey, rows, columns, rising).tolist() == walked


def cpbd_by_loops(grey: np.ndarray, canny: np.ndarray) -> float:
    """The published procedure, block by block, on given Canny pixels."""
    rows, columns, rising = vertical_edges(grey)
    histogram = np.zeros(101)
    for top in range(0, grey.shape[0] - 63, 64):
        for left in range(0, grey.shape[1] - 63, 64):
            block = grey[top : top + 64, left : left + 64].astype(int)
            if canny[top : top + 64, left : left + 64].sum() <= 0.002 * 64 * 64:
                continue
            noticeable = 5 if block.max() - block.min() <= 50 else 3
            for row, column, up in zip(rows, columns, rising, strict=True):
                if top <= row < top + 64 and left <= column < left + 64:
                    width = widths_by_walking(grey, row, column, up)
                    histogram[round(100 * (1 - np.exp(-((width / noticeable) ** 3.6))))] += 1
    return histogram[:64].sum() / histogram.sum()


def test_cpbd_equals_the_procedure_block_by_block(portrait: np.ndarray):
    grey = cv2.cvtColor(blurred(portrait, 0.6), cv2.COLOR_RGB2GRAY)[:230, :250]
    grey[:64, :128] = 128 + grey[:64, :128] // 16  # blocks of low contrast
    grey[128:192] = 30  # and blocks without an edge
    edges = cv2.Canny(cv2.GaussianBlur(grey, (0, 0), 2**0.5), 8, 20) > 0
    assert cpbd(grey[None])[0] == pytest.approx(cpbd_by_loops(grey, edges), abs=0.02)


PORT = {  # what the Python port cpbd 1.0.7 gives of scikit-image's pictures, sharp and blurred by σ 0.8 and 1.5
    "astronaut": (0.3836, 0.1884, 0.0357),
    "camera": (0.7482, 0.4783, 0.1104),
    "coffee": (0.6114, 0.3221, 0.0438),
    "chelsea": (0.5264, 0.2813, 0.0446),
    "rocket": (0.8474, 0.6918, 0.3613),
}


def test_another_implementation_orders_pictures_alike():
    ours, theirs = [], []
    for name, published in PORT.items():
        picture = getattr(skimage.data, name)()
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        ours += [cpbd((gaussian_filter(grey, sigma) if sigma else grey)[None])[0] for sigma in (0, 0.8, 1.5)]
        theirs += published
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert np.abs(np.subtract(ours, theirs)).mean() < 0.1


def test_real_recordings_lie_where_the_field_reports_them(shared):
    decord = pytest.importorskip("decord")
    values = []
    for path in sorted((shared / "realclips/mead").glob("*.mp4"))[::4]:
        reader = decord.VideoReader(str(path))
        values.append(np.nanmean(cpbd(reader.get_batch(range(0, len(reader), 25)).asnumpy())))
    assert 0.13 < np.mean(values) < 0.31  # the paper's ground truth on MEAD: 0.22
