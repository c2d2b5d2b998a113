from __future__ import annotations

import pytest
import torch

from dreamtalk_models.identity_judge import fit, looks

SIZE = 8
SETTINGS = {"size": SIZE, "components": 20, "shrinkage": 0.01}


def faces(people: torch.Tensor, light: float = 0.0) -> torch.Tensor:
    """(n, 16, 16, 3) pictures of people (n,): a pattern a person, and bars that move and mean nothing."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(int(people.max()) + 1, 16, 16, generator=generator)
    bars = torch.rand(len(people), 16, 1, generator=torch.Generator().manual_seed(len(people)))
    pictures = 60 * patterns[people] + 120 * bars + 30 + light
    return pictures[..., None].expand(-1, -1, -1, 3).round().to(torch.uint8)


def test_people_never_seen_are_told_apart() -> None:
    known = torch.arange(60) % 10
    judge = fit(faces(known), known, **SETTINGS)
    strangers = 10 + torch.arange(12) % 3
    embedded = judge(faces(strangers))
    likeness = embedded @ embedded.T
    same = strangers[:, None] == strangers
    assert likeness[same].min() > likeness[~same].max()
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(12))


def test_light_and_contrast_do_not_count() -> None:
    people = torch.arange(4)
    torch.testing.assert_close(looks(faces(people), SIZE), looks(faces(people, light=40.0), SIZE), atol=0.01, rtol=0)


def test_an_embedding_is_as_wide_as_the_speakers_allow() -> None:
    people = torch.arange(24) % 4
    judge = fit(faces(people), people, **SETTINGS)
    assert judge.config == {"size": SIZE, "dimensions": 3} and judge(faces(people)).shape == (24, 3)


def test_two_speakers_are_too_few() -> None:
    people = torch.arange(6) % 2
    with pytest.raises(ValueError, match="2 speakers; the identity judge learns from 3 or more"):
        fit(faces(people), people, **SETTINGS)


def test_one_face_of_each_is_enough() -> None:
    people = torch.arange(5)
    embedded = fit(faces(people), people, **SETTINGS)(faces(people))
    assert torch.isfinite(embedded).all()
