from __future__ import annotations

import torch

from dreamtalk_models.style_classifier import StyleClassifier, mean_motion


def fitted() -> tuple[StyleClassifier, torch.Tensor]:
    """Three classes in a row along the first coefficient; the second varies widely within each and means nothing."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    labels = torch.arange(30) % 3
    means = centres[labels] + torch.randn(30, 2, generator=generator) * torch.tensor([0.1, 5.0])
    classifier = StyleClassifier(motion_dim=2, classes=3)
    residuals = torch.cat([means[labels == one] - means[labels == one].mean(0) for one in range(3)])
    classifier.fit(means, labels, residuals, shrinkage=1e-4)
    return classifier, centres


def test_what_varies_within_a_style_is_discounted():
    classifier, centres = fitted()
    odd = centres + torch.tensor([0.0, 4.0])
    assert classifier(odd[:, None].expand(-1, 5, -1)).argmax(1).tolist() == [0, 1, 2]


def test_padding_is_not_read():
    classifier, _ = fitted()
    motion, mask = torch.randn(2, 10, 2), torch.zeros(2, 10, dtype=torch.bool)
    mask[:, 4:] = True
    torch.testing.assert_close(classifier(motion, mask), classifier(motion[:, :4]))
    torch.testing.assert_close(mean_motion(motion, mask), motion[:, :4].mean(1))


def test_one_residual_is_enough():
    classifier = StyleClassifier(motion_dim=3, classes=1)
    classifier.fit(torch.ones(1, 3), torch.tensor([0]), torch.zeros(1, 3), shrinkage=0.1)
    assert torch.isfinite(classifier(torch.ones(1, 4, 3))).all()
