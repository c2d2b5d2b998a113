"""The style encoder: padding tells it nothing."""

from __future__ import annotations

import torch

from dreamtalk_models.style_encoder import StyleEncoder


def encoder() -> StyleEncoder:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "heads": 2, "feedforward": 32, "layers": 2, "dropout": 0.0}
    return StyleEncoder(motion_dim=6, style_frames=40, **sizes)


def test_what_is_padding_in_all_rows_changes_nothing() -> None:
    network, style = encoder(), torch.randn(3, 40, 6)
    lengths = torch.tensor([1, 9, 12])
    mask = torch.arange(40) >= lengths[:, None]
    code = network(style, mask)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(code[row], network(style[row : row + 1, :length])[0], atol=1e-5, rtol=1e-4)
    beside = torch.cat([mask, torch.zeros(1, 40, dtype=torch.bool)])  # a row that is as long as can be
    whole = network(torch.cat([style, torch.randn(1, 40, 6)]), beside)
    torch.testing.assert_close(code, whole[:3], atol=1e-5, rtol=1e-4)


def test_padding_has_no_gradient() -> None:
    style = torch.randn(2, 40, 6, requires_grad=True)
    mask = torch.arange(40) >= torch.tensor([[5], [7]])
    encoder()(style, mask).sum().backward()
    assert style.grad.shape == style.shape
    assert (style.grad[mask] == 0).all()
