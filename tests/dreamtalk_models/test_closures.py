"""Lips and lids close, and nothing else moves more than it must."""

from __future__ import annotations

import pytest
import torch

from dreamtalk_models.closures import EYES, MOUTH, Closure, Opening
from dreamtalk_models.face_model import FaceModel
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return talking.lively_model(talking.face()[1])


@pytest.mark.parametrize("opening", [MOUTH, EYES])
def test_closes_by_the_share_that_is_asked_for(model: FaceModel, opening: Opening) -> None:
    closure = Closure(model, torch.zeros(model.identity_dim), opening)
    worn = torch.tensor([[1.0, 0, 0.5, 0]]).expand(3, -1)
    gap = closure.gap(closure.close(worn, torch.tensor([0.0, 0.5, 1.0]))).mean(1)
    assert gap[0] > 0
    assert gap[1] / gap[0] == pytest.approx(0.5, abs=0.02)
    assert gap[2] / gap[0] == pytest.approx(0, abs=0.02)


def test_the_rest_of_the_face_stays(model: FaceModel) -> None:
    eyes = Closure(model, torch.zeros(model.identity_dim), EYES)
    change = eyes.close(torch.zeros(1, 4), torch.ones(1))[0]
    assert change[1].abs() > 0.5
    assert change[[0, 2, 3]].abs().max() < 0.02 * change[1].abs()


def test_edges_that_touch_are_left(model: FaceModel) -> None:
    mouth = Closure(model, torch.zeros(model.identity_dim), MOUTH)
    crossed = torch.tensor([[-9.0, 0, 0, 0]])
    assert mouth.gap(crossed).max() < 0
    torch.testing.assert_close(mouth.close(crossed, torch.ones(1)), crossed)
