"""Many talking heads as one flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.generate import talking_heads
from stages.evaluation.from_files import Request
from stages.evaluation.marks import read_provenance
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


def test_what_can_be_made_is_and_what_cannot_is_named(root: Path, tmp_path: Path, prefect_server: None) -> None:
    here = talking.repository(tmp_path, root)
    face, voice = here / "face.png", here / "voice.wav"
    good = [Request(face, voice, here / f"{seed}.mp4", steps=2, seed=seed) for seed in (0, 1)]
    rows = talking_heads(good, here)
    assert [(row["out"], row["seconds"], row["error"]) for row in rows] == [(str(r.out), 1.01, "") for r in good]
    assert [read_provenance(request.out)["seed"] for request in good] == [0, 1]
    with pytest.raises(RuntimeError, match=r"1 of 2 .*bad\.mp4.*no face"):
        talking_heads([good[0], Request(here / "blank.png", voice, here / "bad.mp4", steps=2)], here)
    with pytest.raises(Exception, match="renderer"):
        talking_heads([{"portrait": face, "voice": voice, "out": here / "a.mp4", "renderer": "oil"}], here)
