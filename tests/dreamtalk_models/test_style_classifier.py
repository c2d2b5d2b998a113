from __future__ import annotations

import torch
import torch.nn.functional as F

from dreamtalk_models.style_classifier import StyleClassifier
from tests.dreamtalk_models.helpers import overfit, without_gradient


def test_learns_styles_of_motion():
    classifier = StyleClassifier(motion_dim=6, classes=3, channels=16, layers=1, dropout=0.0)
    label = torch.arange(12) % 3
    motion = torch.randn(12, 10, 6)
    motion[..., 0] += 2.0 * label[:, None]
    first, last = overfit(classifier, lambda: F.cross_entropy(classifier(motion), label), steps=60)
    assert last < 0.1 < first
    assert [name for name in without_gradient(classifier) if "score.2.bias" not in name] == []


def test_padding_is_not_read():
    classifier = StyleClassifier(motion_dim=6, classes=3, channels=16, layers=1, dropout=0.0).eval()
    motion, mask = torch.randn(2, 10, 6), torch.zeros(2, 10, dtype=torch.bool)
    mask[:, 4:] = True
    logits = classifier(motion, mask)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(classifier(motion[:, :4]), logits)
