"""A server of small real videos, and a way to download from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages import params as parameters
from stages.corpus.download.fetch import fetch_all
from stages.corpus.download.store import Download
from stages.corpus.encode import write_mp4
from stages.params import DownloadSettings
from tests.stages.corpus.video_server import Server, serve


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real mp4 of some 30 KB."""
    path = tmp_path_factory.mktemp("video") / "noise.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    write_mp4(path, list(noise), 25)
    return path.read_bytes()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as running:
        yield running


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> DownloadSettings:
    """As in params.yaml, but without waiting."""
    quick = {
        "folder": str(tmp_path / "downloads"), "pause_s": 0.0, "backoff_s": 0.01, "timeout_s": 0.5, "rate_limit": None,
        "attempts": 3, "max_mb": 1.0,
    }  # fmt: skip
    return parameters.load(root / "params.yaml").ingest.download.model_copy(update=quick)


@pytest.fixture
def fetch(server: Server, settings: DownloadSettings) -> Callable[..., dict[str, Download]]:
    """Download paths of the server, as items of the same names up to the dot; settings may be changed."""

    def run(*paths: str, **changes: object) -> dict[str, Download]:
        wanted = {path.partition(".")[0]: server.url(path) for path in paths}
        return fetch_all(wanted, settings.model_copy(update=changes))

    return run
