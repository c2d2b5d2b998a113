"""Both pages in Chromium, opened from the disk: from the first question to the saved file."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from stages.evaluation.rating import preference, ratings
from stages.evaluation.rating.analysis import analyse as analyse_ratings
from stages.evaluation.rating.choices import analyse as analyse_choices
from tests.flows import browser

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")


def saved(page: browser.Page, downloads: Path) -> Path:
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    page.click("#save")
    deadline = time.monotonic() + browser.PATIENCE_S
    while not (files := list(downloads.glob("*.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return files[0]


def begun(page: browser.Page, out: Path) -> None:
    page.open((out / "index.html").as_uri())
    page.click("#begin")
    assert "Please give a number" in page.value("document.querySelector('#hint').textContent")
    page.value("document.querySelector('#participant').value = '3'")
    page.click("#begin")


def test_a_preference_is_asked_and_saved(compared: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    methods = {name: compared[name] for name in ("predicted", "stranger")}
    key = preference.make(methods, compared["real"], out, size=64, participants=4)
    with browser.page(tmp_path / "profile") as page:
        begun(page, out)
        for place in range(key["asked"]):
            page.until(f"document.querySelector('#count').textContent === '{place + 1} of 6'")
            page.click("[name=choice][value=left]")
            page.until("watched.size === 3")  # each video plays after the one before it
            page.until("!document.querySelector('#next').disabled")
            page.click("#next")
        file = saved(page, tmp_path / "downloads")
        assert all(address.startswith(("file:", "blob:", "data:")) for address in page.asked[1:])
    assert json.loads(file.read_text())["participant"] == "3" and file.name.startswith("choices-")
    found = analyse_choices(preference.key_of(out), [file])
    assert found.left == 1 and found.share == 0.5 and found.refused == found.unfinished == []


def test_ratings_are_asked_and_saved(compared: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    methods = {name: compared[name] for name in ("predicted", "stranger")}
    key = ratings.make(methods, out, references=compared["real"], size=64, clips=2, participants=4)
    with browser.page(tmp_path / "profile") as page:
        begun(page, out)
        for place in range(key["asked"]):
            page.until(f"document.querySelector('#count').textContent === '{place + 1} of 4'")
            page.until("watched")
            assert page.value("document.querySelector('#next').disabled")
            for aspect in key["aspects"]:
                page.click(f'[name={aspect}][value="4"]')
            page.until("!document.querySelector('#next').disabled")
            page.click("#next")
        file = saved(page, tmp_path / "downloads")
    found = analyse_ratings(ratings.key_of(out), [file])
    assert found.refused == found.unfinished == [] and (found.ratings["rating"] == 4).all()


def test_who_stops_saves_what_there_is_and_goes_on_later(compared: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    methods = {name: compared[name] for name in ("predicted", "stranger")}
    preference.make(methods, compared["real"], out, size=64, clips=2, participants=4)
    with browser.page(tmp_path / "profile") as page:
        begun(page, out)
        page.click("[name=choice][value=left]")
        page.until("!document.querySelector('#next').disabled")
        page.click("#next")
        page.until("!document.querySelector('#model').paused")
        page.click("#stop")
        assert page.value("[...videos()].every((film) => film.paused)")
        assert not page.value("document.querySelector('#later').hidden")
        file = saved(page, tmp_path / "downloads")
        begun(page, out)
        assert page.value("document.querySelector('#count').textContent") == "2 of 2"
    assert analyse_choices(preference.key_of(out), [file]).unfinished == [f"{file.name}: 1 of 2 pairs judged"]


def test_a_page_without_its_videos_says_so(compared: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    ratings.make({name: compared[name] for name in ("predicted", "stranger")}, out, size=64, clips=1, participants=1)
    shutil.rmtree(out / "videos")
    with browser.page(tmp_path / "profile") as page:
        begun(page, out)
        page.until("!document.querySelector('#broken').hidden")
