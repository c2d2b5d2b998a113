"""The page that makes talking heads: what it takes, what it refuses, and a head made in a browser."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from flows.page.server import HOST, application
from flows.page.studio import Studio
from stages import params
from stages.evaluation.marks import read_provenance
from stages.evaluation.workshop import Workshop
from tests.flows import browser
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    here = talking.repository(tmp_path_factory.mktemp("repository"), root)
    talking.corpus(here)
    return here


@pytest.fixture
def studio(made: Path, tmp_path: Path) -> Studio:
    return Studio(Workshop(made, params.load(made / "params.yaml")), tmp_path)


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return TestClient(application(studio), base_url=f"http://{HOST}")


def give(client: TestClient, path: Path, name: str | None = None) -> str:
    return client.put("/files", params={"name": name or path.name}, content=path.read_bytes()).json()["id"]


def head(client: TestClient, **order: object) -> dict:
    """The state in which a head ends."""
    key = client.post("/heads", json=order).json()["id"]
    deadline = time.monotonic() + 300
    while not (state := client.get(f"/heads/{key}").json())["done"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return state | {"key": key}


def test_a_head_is_made_of_what_is_given(made: Path, client: TestClient, studio: Studio) -> None:
    assert client.get("/choices").json() == {"styles": ["happy/1", "happy/2", "happy/3"]}
    portrait, voice = give(client, made / "face.png"), give(client, made / "voice.wav")
    state = head(client, portrait=portrait, voice=voice, style="happy/2", pose="mild", seed=3)
    assert (state["error"], state["share"]) == ("", 1.0)
    assert client.get(f"/heads/{state['key']}/video.mp4").content[4:8] == b"ftyp"
    note = read_provenance(studio.video(state["key"]))
    assert (note["seed"], note["pose"], note["style"]) == (3, "mild", {"0": "reference"})
    assert (note["size"], note["frame"], note["blinks"]) == (512, "face", True)


def test_styles_of_a_corpus_without_levels(made: Path, client: TestClient, studio: Studio, monkeypatch) -> None:
    corpus = studio.workshop.corpus().assign(level=None)
    corpus.loc[corpus.index[0], "emotion"] = None
    monkeypatch.setattr(studio.workshop, "corpus", lambda: corpus)
    assert client.get("/choices").json() == {"styles": ["happy"]}


def test_what_cannot_be_used_is_told_without_the_folders_of_the_machine(made: Path, client: TestClient) -> None:
    voice = give(client, made / "voice.wav")
    state = head(client, portrait=give(client, made / "blank.png"), voice=voice)
    assert state["error"].startswith("blank.png: no face found")
    assert client.get(f"/heads/{state['key']}/video.mp4").status_code == 404


def test_orders_that_are_refused(made: Path, client: TestClient) -> None:
    good = {"portrait": give(client, made / "face.png"), "voice": give(client, made / "voice.wav")}
    for wrong in (
        {"style": "/etc/passwd"},
        {"portrait": "face.png"},
        {"intensity": -1},
        {"watermark": False},
        {"seed": 2**64},
    ):
        assert client.post("/heads", json=good | wrong).status_code == 422, wrong
    assert client.post("/heads", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get("/heads/none").status_code == 404
    assert client.get("/", headers={"Host": "elsewhere.example"}).status_code == 400


def test_names_of_files_lead_nowhere(studio: Studio) -> None:
    for name in ("../../a.png", "..", "", "/etc/passwd", "a\x00b.png", "\U00020000" * 300 + ".mat", "x" * 500 + ".mat"):
        _, path = studio.place(name)
        assert path.resolve().parent.parent == studio.folder.resolve()
        path.write_bytes(b"")
    assert path.suffix == ".mat"


def test_files_that_are_too_large_are_not_kept(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.page.server.LARGEST_FILE", 10)
    assert client.put("/files", params={"name": "a.wav"}, content=b"x" * 11).status_code == 413
    assert not studio.files
    assert not list(studio.folder.iterdir())


def started(made: Path, root: Path, temporary: Path) -> subprocess.Popen:
    """`dreamtalk page`, which prints its address."""
    command = [sys.executable, "-m", "flows.cli", "page", "--port", "0"]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)}
    return subprocess.Popen(
        command, cwd=made, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_nothing_is_left_when_it_ends(made: Path, root: Path, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    with started(made, root, tmp_path) as process:
        try:
            with httpx.Client(base_url=process.stdout.readline().split()[0]) as client:
                order = {"portrait": give(client, made / "face.png"), "voice": give(client, made / "voice.wav")}
                heads = [client.post("/heads", json=order).json()["id"] for _ in range(30)]
                assert list(tmp_path.glob("talking-heads-*/*/voice.wav"))
                assert not client.get(f"/heads/{heads[-1]}").json()["done"]
            process.send_signal(sent)
            _, told = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in told) == (code, False), told
    assert not list(tmp_path.glob("talking-heads-*"))


def test_a_head_in_the_making_is_given_up(made: Path, client: TestClient, studio: Studio) -> None:
    order = {"portrait": give(client, made / "face.png"), "voice": give(client, made / "voice.wav")}
    heads = [client.post("/heads", json=order).json()["id"] for _ in range(3)]
    studio.close()
    assert not studio.video(heads[-1]).exists()
    assert studio.heads[heads[-1]].what == "waiting"
    assert not list(studio.folder.glob(".*"))  # nothing half written


@pytest.fixture
def served(made: Path, root: Path, tmp_path: Path) -> Iterator[str]:
    with started(made, root, tmp_path) as process:
        yield process.stdout.readline().split()[0]
        process.terminate()


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium (apt install chromium)")
def test_in_a_browser(made: Path, served: str, tmp_path: Path) -> None:
    with browser.page(tmp_path / "profile") as page:
        page.open(served)
        page.until("document.getElementById('style').options.length > 2")
        page.give("#portrait", made / "face.png")
        page.give("#voice", made / "voice.wav")
        assert page.value("document.getElementById('make').disabled")
        page.click("#consent")
        page.click("#make")
        page.give("#voice", made / "voice.wav")  # for the next one, while this is being made
        assert page.value("document.getElementById('make').disabled")
        page.until("!document.getElementById('video').hidden || !document.getElementById('error').hidden")
        assert page.value("document.getElementById('error').textContent") == ""
        page.until("document.getElementById('video').readyState >= 1")
        assert page.value("document.getElementById('video').duration") == pytest.approx(1.04, abs=0.05)
        page.until("!document.getElementById('make').disabled")
        for _ in range(2):
            page.click("#make")
            page.until("!document.getElementById('make').disabled")
        assert len(list(tmp_path.glob("talking-heads-*/*/face.png"))) == 1  # sent once
        assert len(list(tmp_path.glob("talking-heads-*/*.mp4"))) == 3
        assert {url for url in page.asked if not url.startswith((served, "blob:", "data:"))} == set()
