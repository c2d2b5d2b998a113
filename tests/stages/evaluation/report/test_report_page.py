from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from stages import params
from stages.evaluation.report.build import build
from stages.evaluation.report.results import Results
from stages.evaluation.systems.manifest import systems


class Elements(HTMLParser):
    """All tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


@pytest.fixture(scope="module")
def built(finished_run: Path, settings: params.Params, tmp_path_factory: pytest.TempPathFactory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("reports")
    return out, build(Results(finished_run), settings, out, "abc1234")


@pytest.fixture(scope="module")
def page(built) -> Elements:
    return Elements((built[0] / "index.html").read_text(encoding="utf-8"))


def test_the_page_refers_to_nothing_outside(page: Elements) -> None:
    loaded = page.values("src") + page.values("srcset") + page.values("poster")
    assert loaded and all(address.startswith("data:") for address in loaded)
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed"} == set()
    links = {href for tag, attrs in page.tags if (href := attrs.get("href")) and tag == "a"}
    homes = {system.repository for system in systems() if system.repository}
    assert {href for href in links if not href.startswith("#")} == {"contracts.html", *homes}
    assert not re.search(r"url\(|@import", (page.text))


def test_the_contents_lead_somewhere(page: Elements) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in page.values("href") if href.startswith("#")} <= set(ids)


def test_the_page_says_what_made_its_numbers(page: Elements, settings: params.Params) -> None:
    text = " ".join(page.text.split())
    assert f"profile {settings.profile}" in text and "abc1234" in text
    assert "demo corpus" in text and "say nothing about real faces" in text
    for part in (
        "Table I",
        "Table II",
        "Table III",
        "Table IV",
        "Table V",
        "Table VI",
        "Not measured in this run: CSIM",
    ):
        assert part in text


def test_videos_and_pictures_are_inside(page: Elements, settings: params.Params) -> None:
    videos = [attrs["src"] for tag, attrs in page.tags if tag == "video"]
    assert len(videos) == settings.report.gallery_clips + 3  # and the best, the median and the worst fit
    assert all(address.startswith("data:video/mp4;base64,") for address in videos)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")


def test_the_quality_of_the_fits_is_shown(page: Elements) -> None:
    text = " ".join(page.text.split())
    assert "0.41 times as far apart" in text
    for word in ("fit error, px", "held-out speakers", "best fit", "median fit", "worst fit"):
        assert word in text


def test_the_report_counts_what_the_corpus_holds(built, finished_run: Path, page: Elements) -> None:
    results = Results(finished_run)
    text = " ".join(page.text.split())
    assert re.search(rf"clips\s*{len(results.clips.table)}\b", text)
    assert "a face in only … % of the frames" in text  # three rejections of one kind
    assert "All 80 data contracts are kept." in text


def test_numbers_for_dvc_show_the_intensity_by_scale(built) -> None:
    numbers = built[1].numbers
    assert numbers["intensity@0"] == 0 < numbers["intensity@1"] < numbers["intensity@2"]
    assert numbers["style_share@0"] == 0 != numbers["style_share@1"]
    assert {"style_purity/speaker", "style_purity/emotion", "style_silhouette/speaker"} <= set(numbers)


def test_tables_lie_beside_the_page(built) -> None:
    names = {path.name for path in (built[0] / "tables").iterdir()}
    assert {f"table_{i}.{kind}" for i in range(1, 7) for kind in ("csv", "tex")} <= names


def test_equal_runs_give_equal_bytes(built, finished_run: Path, settings: params.Params, tmp_path: Path) -> None:
    build(Results(finished_run), settings, tmp_path, "abc1234")
    first, second = (
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} for out in (built[0], tmp_path)
    )
    assert first == second


@pytest.mark.parametrize(
    "gone",
    [
        {
            "evaluation": "Not measured in this run",
            "generated": "No videos were generated in this run.",
            "metrics": "The data contracts left no verdict in this run.",
            "data/audio": "data/audio has no .arrow shard",
            "models/denoiser/full/weights.safetensors": "no checkpoint at",
        },
        {"models": "No network has left training curves in this run."},
    ],
    ids=["results", "networks"],
)
def test_what_is_missing_is_a_sentence_and_the_rest_stands(
    gone: dict[str, str], finished_run: Path, settings: params.Params, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    shutil.copytree(finished_run, root)
    for name in gone:
        path = root / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    build(Results(root), settings, tmp_path / "out", "")
    text = Elements((tmp_path / "out/index.html").read_text(encoding="utf-8")).text
    assert not [sentence for sentence in gone.values() if sentence not in text]
    assert "Table IV" in text and "speaking styles" in text
