"""Downloads from a real server that behaves well, badly and worse."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from stages.corpus.download import __main__ as program
from stages.corpus.download import fetch as fetching
from stages.corpus.download.store import NAME, Download, Store
from stages.corpus.sources import SourceError
from stages.files import sha256
from tests.stages.corpus.video_server import Reply


@pytest.fixture
def folder(settings) -> Path:
    return Path(settings.folder)


def test_a_video_comes_once(fetch, server, folder, video):
    server.replies["a.mp4"] = Reply(video)
    row = fetch("a.mp4")["a"]
    assert (row.status, row.path, row.bytes, row.attempts, row.kind) == ("done", "a.mp4", len(video), 1, None)
    assert (folder / "a.mp4").read_bytes() == video and row.sha256 == sha256(folder / "a.mp4")
    before = len(server.requests)
    assert fetch("a.mp4")["a"] == row
    assert len(server.requests) == before
    (folder / "a.mp4").unlink()
    assert fetch("a.mp4")["a"].status == "done" and len(server.requests) > before


def test_the_status_file_may_be_lost_and_files_may_be_put_by_hand(fetch, server, folder, video):
    folder.mkdir()
    (folder / "mine.mp4").write_bytes(video)
    (folder / "mine.json").write_text("{}")
    assert fetch("mine.mp4")["mine"].status == "done"
    assert not server.requests
    (folder / NAME).unlink()
    assert fetch("mine.mp4")["mine"].path == "mine.mp4"
    assert not server.requests and (folder / "mine.json").exists()


def test_a_picture_of_the_same_name_is_no_video(fetch, server, folder, video):
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.jpg")
    server.replies["a.mp4"] = Reply(video)
    assert fetch("a.mp4")["a"].path == "a.mp4" and (folder / "a.jpg").exists()


def test_what_cannot_be_had_may_be_put_by_hand(fetch, server, folder, video):
    server.replies["a.mp4"] = Reply(statuses=[404])
    failed = fetch("a.mp4")["a"]
    (folder / "a.mp4").write_bytes(b"not a video")
    assert fetch("a.mp4")["a"] == failed
    (folder / "a.mp4").write_bytes(video)
    row = fetch("a.mp4")["a"]
    assert (row.status, row.kind, row.reason, row.bytes) == ("done", None, None, len(video))
    assert fetch("a.mp4")["a"] == row and len(server.requests) == 1


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_cut_connection_is_gone_on_with(fetch, server, folder, video, cuts):
    server.replies["a.mp4"] = Reply(video, cut_after=8192, cuts=cuts + 1)  # the first request only looks
    row = fetch("a.mp4")["a"]
    assert row.status == "done" and (folder / "a.mp4").read_bytes() == video
    ranges = [given for given in server.asked("a.mp4") if given]
    assert ranges and all(int(given[6:-1]) > 0 for given in ranges)


def test_a_server_without_ranges_is_read_from_the_start(fetch, server, folder, video):
    server.replies["a.mp4"] = Reply(video, cut_after=8192, cuts=2, ranges=False)
    assert fetch("a.mp4")["a"].status == "done"
    assert (folder / "a.mp4").read_bytes() == video


def test_a_killed_run_is_gone_on_with(server, folder, settings, root, video):
    server.replies["a.mp4"] = Reply(video, pause_s=0.05)
    code = (
        "import sys; from stages.params import DownloadSettings; from stages.corpus.download.fetch import fetch_all;"
        "fetch_all({'a': sys.argv[1]}, DownloadSettings.model_validate_json(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, server.url("a.mp4"), settings.model_dump_json()]
    process = subprocess.Popen(command, cwd=root)
    part = folder / "a.mp4.part"
    deadline = time.monotonic() + 300
    while not (part.exists() and part.stat().st_size > 4000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with sqlite3.connect(folder / NAME) as db:
        assert db.execute("SELECT status, attempts FROM downloads").fetchall() == [("started", 1)]
    server.replies["a.mp4"].pause_s = 0.0
    row = fetching.fetch_all({"a": server.url("a.mp4")}, settings)["a"]
    assert (row.status, row.attempts) == ("done", 2) and (folder / "a.mp4").read_bytes() == video
    assert int(server.asked("a.mp4")[-1][6:-1]) > 1000


@pytest.mark.parametrize("status", [403, 404, 410])
def test_permanent_answers_are_asked_once(fetch, server, folder, status, settings, monkeypatch, capsys, root):
    server.replies["a.mp4"] = Reply(statuses=[status])
    row = fetch("a.mp4")["a"]
    assert (row.status, row.kind, row.attempts) == ("failed", "permanent", 1) and f"HTTP {status}" in row.reason
    assert len(server.requests) == 1
    assert fetch("a.mp4")["a"] == row and len(server.requests) == 1


def test_permanent_failures_are_tried_again_when_asked(
    fetch, server, folder, video, monkeypatch, capsys, root, tmp_path
):
    server.replies["a.mp4"] = Reply(statuses=[404])
    fetch("a.mp4")
    text = (root / "params.yaml").read_text().replace("folder: data/downloads", f"folder: {folder}")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    program.main([])
    assert "1 failed, permanent: HTTP 404 Not Found" in capsys.readouterr().out
    program.main(["--forget", "permanent"])
    assert "1 permanent failures forgotten" in capsys.readouterr().out
    server.replies["a.mp4"] = Reply(video)
    assert fetch("a.mp4")["a"].status == "done"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_answers_are_tried_again(fetch, server, video, status):
    server.replies["a.mp4"] = Reply(video, statuses=[status, status])
    row = fetch("a.mp4")["a"]
    assert (row.status, row.attempts) == ("done", 3)


def test_attempts_are_bounded_and_the_next_run_goes_on(fetch, server, video):
    server.replies["a.mp4"] = Reply(statuses=[503])
    row = fetch("a.mp4")["a"]
    assert (row.status, row.kind, row.attempts) == ("failed", "transient", 3) and "HTTP 503" in row.reason
    assert len(server.requests) == 3
    server.replies["a.mp4"] = Reply(video)
    assert fetch("a.mp4")["a"].attempts == 4


def test_waits_grow_and_a_server_may_ask_for_more(fetch, server, video, monkeypatch):
    waits = []
    monkeypatch.setattr(fetching, "sleep", waits.append)
    server.replies["a.mp4"] = Reply(statuses=[503])
    fetch("a.mp4", backoff_s=1.0, max_backoff_s=3.0, attempts=4)
    assert waits == [1.0, 2.0, 3.0]
    waits.clear()
    server.replies["b.mp4"] = Reply(video, statuses=[429], headers={"Retry-After": "2"})
    assert fetch("b.mp4", backoff_s=1.0)["b"].status == "done"
    assert waits == [2.0]


def test_a_server_that_asks_for_hours_is_left_for_the_next_run(fetch, server, video):
    server.replies["a.mp4"] = Reply(video, statuses=[429, 429], headers={"Retry-After": "7200"})
    row = fetch("a.mp4")["a"]
    assert (row.status, row.kind, row.attempts) == ("failed", "transient", 1)


def test_pauses_lie_between_videos(fetch, server, video, monkeypatch):
    waits = []
    monkeypatch.setattr(fetching, "sleep", waits.append)
    server.replies |= {f"{name}.mp4": Reply(video) for name in "abc"}
    fetch("a.mp4", "b.mp4", "c.mp4", pause_s=7.0)
    assert waits == [7.0, 7.0]
    fetch("a.mp4", "b.mp4", "c.mp4", pause_s=7.0)
    assert waits == [7.0, 7.0]


def test_a_site_that_is_closed_to_us_is_left_alone(fetch, server, video):
    server.replies |= {f"{n}.mp4": Reply(statuses=[429]) for n in range(4)} | {"x.mp4": Reply(statuses=[404])}
    rows = fetch("0.mp4", "x.mp4", "1.mp4", "2.mp4", "3.mp4", stop_after=2, attempts=1)
    assert rows["3"].reason.startswith("not tried: 2 downloads in a row failed (HTTP 429")
    assert rows["3"].kind == "transient" and not server.asked("3.mp4")
    server.replies["3.mp4"] = Reply(video)
    assert fetch("3.mp4")["3"].status == "done"


def test_a_bad_item_harms_no_other(fetch, server, folder, video):
    server.replies |= {
        "page.html": Reply(b"<html><video src='/good.mp4'></video></html>", kind="text/html"),
        "lie.mp4": Reply(b"<html>Sign in</html>"),
        "file.mp4": Reply(statuses=[302], headers={"Location": "file:///etc/passwd"}),
        "ftp.mp4": Reply(statuses=[302], headers={"Location": "ftp://127.0.0.1/a.mp4"}),
        "loop.mp4": Reply(statuses=[302], headers={"Location": "/loop.mp4"}),
        "large.mp4": Reply(video * 40),
        "tolarge.mp4": Reply(statuses=[302], headers={"Location": "/large.mp4"}),
        "list.m3u8": Reply(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", kind="application/vnd.apple.mpegurl"),
        "gone.mp4": Reply(statuses=[404]),
        "good.mp4": Reply(video),
        "moved.mp4": Reply(statuses=[302], headers={"Location": "/good.mp4"}),
    }
    rows = fetch(*server.replies)
    reasons = {item: row.reason for item, row in rows.items() if row.status == "failed"}
    assert rows["good"].status == rows["moved"].status == "done"
    assert {row.kind for row in rows.values() if row.status == "failed"} == {"permanent"}
    assert "web page, not a video" in reasons["page"]
    assert "not a video" in reasons["lie"]
    assert "file:///etc/passwd" in reasons["file"] and "ftp://" in reasons["ftp"]
    assert "in a circle" in reasons["loop"]
    assert "max_mb (1 MB)" in reasons["large"] and "max_mb" in reasons["tolarge"]
    assert set(reasons) == set(rows) - {"good", "moved"}
    assert {path.name for path in folder.iterdir()} == {"good.mp4", "moved.mp4", NAME, ".lock"}


def test_a_slow_server_is_waited_for_and_a_dead_one_is_not(fetch, server, video):
    server.replies["slow.mp4"] = Reply(video, pause_s=0.02)
    server.replies["dead.mp4"] = Reply(video, pause_s=2.0)
    rows = fetch("slow.mp4", "dead.mp4", attempts=1)
    assert rows["slow"].status == "done"
    assert rows["dead"].kind == "transient" and "timed out" in rows["dead"].reason


def test_a_server_that_drips_is_given_up(fetch, server, video):
    server.replies["drip.mp4"] = Reply(video, pause_s=0.05)
    row = fetch("drip.mp4", max_minutes=0.1 / 60, attempts=1)["drip"]
    assert row.kind == "transient" and "max_minutes" in row.reason


def test_the_rate_is_limited(fetch, server, video):
    server.replies["a.mp4"] = Reply(video)
    start = time.monotonic()
    fetch("a.mp4", rate_limit=60_000.0)
    assert time.monotonic() - start > 0.8 * len(video) / 60_000


def test_another_address_is_another_video(fetch, server, settings, video):
    server.replies |= {"a.mp4": Reply(video, cut_after=8192, cuts=9), "b.mp4": Reply(video)}
    assert fetch("a.mp4", attempts=1)["a"].kind == "transient"
    assert fetching.fetch_all({"a": server.url("b.mp4")}, settings)["a"].status == "done"
    assert server.asked("b.mp4")[-1] is None  # the part of the other one is not gone on with


def test_two_runs_at_once(fetch, server, capsys, video):
    server.replies["a.mp4"] = Reply(video, pause_s=0.03)
    rows = []
    runs = [threading.Thread(target=lambda: rows.append(fetch("a.mp4")["a"])) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert rows[0] == rows[1] and rows[0].attempts == 1
    assert "another run downloads into" in capsys.readouterr().out


def test_a_full_disk_ends_the_run_and_the_next_goes_on(fetch, server, folder, video):
    server.replies |= {"a.mp4": Reply(video), "b.mp4": Reply(video)}
    fetch("a.mp4")
    store = Store(folder)
    store.put(Download("b", server.url("b.mp4"), "started"))
    store.close()
    (folder / "b.mp4.part").symlink_to("/dev/full")
    with pytest.raises(SourceError, match=r"cannot write to .*downloads: No space left on device; make room"):
        fetch("a.mp4", "b.mp4")
    (folder / "b.mp4.part").unlink()
    assert {row.status for row in fetch("a.mp4", "b.mp4").values()} == {"done"}
    assert len(server.asked("a.mp4")) == 2  # it was looked at, and read, once


@pytest.mark.parametrize("name", ["file/below", "with$HOME"])
def test_a_folder_that_cannot_be_used(fetch, server, tmp_path, name, video):
    (tmp_path / "file").touch()
    server.replies["a.mp4"] = Reply(video)
    with pytest.raises(SourceError, match="download"):
        fetch("a.mp4", folder=str(tmp_path / name))


def test_a_status_file_that_is_none(fetch, server, folder, video):
    folder.mkdir()
    (folder / NAME).write_text("no database " * 100)
    with pytest.raises(SourceError, match=r"downloads\.sqlite: file is not a database"):
        fetch("a.mp4")


@pytest.mark.parametrize("content", [None, "not cookies"])
def test_wrong_cookies(fetch, server, tmp_path, content):
    path = tmp_path / "cookies.txt"
    if content:
        path.write_text(content)
    with pytest.raises(SourceError, match=r"cookies\.txt is no cookies file"):
        fetch("a.mp4", cookies=str(path))


def test_cookies_are_sent_and_their_file_is_not_written(fetch, server, tmp_path, video):
    path = tmp_path / "cookies.txt"
    content = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tsecret\n"
    path.write_text(content)
    server.replies["a.mp4"] = Reply(video, headers={"Set-Cookie": "new=1"})
    assert fetch("a.mp4", cookies=str(path))["a"].status == "done"
    assert server.cookies[-1] == "session=secret"
    assert path.read_text() == content


def no_network(monkeypatch, asked: list) -> None:
    def refuse(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_without_a_network_each_host_is_tried_once(settings, monkeypatch):
    waits, asked = [], []
    monkeypatch.setattr(fetching, "sleep", waits.append)
    no_network(monkeypatch, asked)
    wanted = {f"{n:011d}": f"https://www.youtube.com/watch?v={n:011d}" for n in range(4)}
    wanted |= {name: f"http://host.invalid/{name}.mp4" for name in "ab"}
    rows = fetching.fetch_all(wanted, settings)
    assert {row.reason for row in rows.values()} == {
        "'www.youtube.com' cannot be looked up: is there a network?",
        "'host.invalid' cannot be looked up: is there a network?",
    }
    assert {row.kind for row in rows.values()} == {"transient"}
    assert [row.attempts for row in rows.values()] == [1, 0, 0, 0, 1, 0]
    assert set(asked) == {"www.youtube.com", "host.invalid"} and waits == [settings.pause_s]


def test_a_lookup_that_fails_after_something_came_may_pass(fetch, server, video, settings):
    server.replies["a.mp4"] = Reply(video)
    wanted = {"a": server.url("a.mp4"), "b": "http://host.invalid/b.mp4"}
    rows = fetching.fetch_all(wanted, settings)
    assert rows["a"].status == "done" and rows["b"].attempts == settings.attempts


def test_downloads_can_be_switched_off(fetch, server, folder, video):
    server.replies |= {"a.mp4": Reply(video), "b.mp4": Reply(video)}
    fetch("a.mp4")
    asked = len(server.requests)
    rows = fetch("a.mp4", "b.mp4", enabled=False)
    assert len(server.requests) == asked and rows["a"].status == "done"
    assert rows["b"].status == "failed" and "put it below ingest.folder as 'b.mp4'" in rows["b"].reason
    assert fetch("b.mp4")["b"].status == "done"
