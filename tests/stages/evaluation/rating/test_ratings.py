"""Ratings: what is laid out, and what is made of the answers."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import stats

from stages.corpus.decode import read_video
from stages.corpus.encode import write_mp4
from stages.evaluation.rating import ratings
from stages.evaluation.rating.analysis import analyse, per_participant

METHODS, CLIPS = ("ours", "theirs", "truth"), ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("methods")
    rng = np.random.default_rng(0)
    for name in (*METHODS, "reference"):
        (root / name).mkdir()
        for clip in CLIPS:
            frames = rng.integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
            sound = rng.normal(0, 0.1, 16000 * 6 // 25).astype(np.float32)
            write_mp4(root / name / f"{clip}.mp4", frames, 25, sound, 16000, comment=f"made by {name}")
    return {name: root / name for name in (*METHODS, "reference")}


@pytest.fixture(scope="module")
def made(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("made") / "page"
    methods = {name: folders[name] for name in METHODS}
    return out, ratings.make(methods, out, references=folders["reference"], participants=6, size=64)


def test_the_folder_tells_nothing_of_the_methods(made):
    out, key = made
    files = sorted(path.name for path in (out / "videos").iterdir())
    assert len(files) == len(METHODS) * len(CLIPS) + len(CLIPS)
    page = (out / "index.html").read_text()
    assert not any(name in page for name in METHODS[:2])
    for file in files:
        assert not any(name in file for name in METHODS)
        with av.open(str(out / "videos" / file)) as container:
            assert "comment" not in container.metadata
    assert ratings.key_of(out).is_file() and not (out / "key.json").exists()
    shown = Counter(video["method"] for video in key["videos"].values())
    assert shown == dict.fromkeys(METHODS, len(CLIPS))


def test_videos_are_alike_and_references_silent(made):
    out, key = made
    for path in (out / "videos").iterdir():
        assert read_video(path, 25).shape == (6, 64, 64, 3)
        with av.open(str(path)) as container:
            assert bool(container.streams.audio) == (path.stem in key["videos"])


def test_equal_arguments_give_equal_pages(made, folders, tmp_path):
    methods = {name: folders[name] for name in METHODS}
    ratings.make(methods, tmp_path / "page", references=folders["reference"], participants=6, size=64)
    for file in ("index.html", *(f"videos/{path.name}" for path in (made[0] / "videos").iterdir())):
        assert (tmp_path / "page" / file).read_bytes() == (made[0] / file).read_bytes()


def test_other_orders_are_another_page(made, folders, tmp_path):
    methods, references = {name: folders[name] for name in METHODS}, folders["reference"]
    for name, extra in {"once": {"each_clip_once": True}, "more": {"participants": 7}}.items():
        options = {"participants": 6, "size": 64} | extra
        other = ratings.make(methods, tmp_path / name, references=references, **options)
        assert other["videos"] == made[1]["videos"]
        assert other["page"] != made[1]["page"]
        assert other["asked"] == (len(CLIPS) if name == "once" else len(CLIPS) * len(METHODS))


@pytest.mark.parametrize("changed", ["ours", "reference"])
def test_other_videos_of_the_same_names_are_another_page(made, folders, tmp_path, changed):
    shutil.copytree(folders[changed], tmp_path / changed)
    shutil.copyfile(folders[changed] / "b.mp4", tmp_path / changed / "a.mp4")
    folders = folders | {changed: tmp_path / changed}
    methods, out = {name: folders[name] for name in METHODS}, tmp_path / "page"
    other = ratings.make(methods, out, references=folders["reference"], participants=6, size=64)
    assert other["page"] != made[1]["page"]
    names = [{path.name for path in (folder / "videos").iterdir()} for folder in (out, made[0])]
    assert len(names[0] - names[1]) == 1  # a web browser has the other ones already


def test_everybody_sees_everything_in_another_order():
    orders = ratings.orders(3, 10, 5, each_clip_once=False, seed=1)
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert all(a % 10 != b % 10 for order in orders for a, b in pairwise(order))


def test_a_clip_a_participant_is_balanced():
    orders = ratings.orders(3, 9, 3, each_clip_once=True, seed=1)
    for order in orders:
        assert sorted(i % 9 for i in order) == list(range(9))
        assert Counter(i // 9 for i in order) == {0: 3, 1: 3, 2: 3}
    assert sorted(i for order in orders for i in order) == list(range(27))


def test_what_cannot_be_shown_is_named(folders, tmp_path):
    with pytest.raises(ValueError, match="at least two methods"):
        ratings.make({"ours": folders["ours"]}, tmp_path / "page")
    (tmp_path / "mute").mkdir()
    write_mp4(tmp_path / "mute/a.mp4", np.zeros((6, 64, 64, 3), np.uint8), 25)
    with pytest.raises(ValueError, match=r"mute/a\.mp4 has no sound"):
        ratings.make({"ours": folders["ours"], "mute": tmp_path / "mute"}, tmp_path / "page")
    write_mp4(tmp_path / "mute/z.mp4", np.zeros((6, 64, 64, 3), np.uint8), 25)
    (tmp_path / "mute/a.mp4").unlink()
    with pytest.raises(ValueError, match="no clip that all methods"):
        ratings.make({"ours": folders["ours"], "mute": tmp_path / "mute"}, tmp_path / "page")


def test_only_an_earlier_page_is_replaced(folders, tmp_path, monkeypatch):
    methods, out = {name: folders[name] for name in ("ours", "theirs")}, tmp_path / "page"
    (out / "videos").mkdir(parents=True)
    (out / "videos/mine.mp4").write_bytes(b"mine")
    with pytest.raises(ValueError, match="page holds something else"):
        ratings.make(methods, out, clips=1, size=64)
    assert (out / "videos/mine.mp4").read_bytes() == b"mine"
    again = tmp_path / "again"
    before = ratings.make(methods, again, clips=1, size=64)
    after = ratings.make(methods, again, clips=1, size=64, seed=1)
    assert {path.stem for path in (again / "videos").iterdir()} == set(after["videos"]) != set(before["videos"])
    with pytest.raises(ValueError, match="again holds videos that are to be shown"):
        ratings.make({**methods, "shown": again / "videos"}, again, size=64)
    (again / "ratings-1.json").write_text("{}")
    with pytest.raises(ValueError, match="again holds something else"):
        ratings.make(methods, again, clips=1, size=64)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the folder you are in"):
        ratings.make(methods, Path(), clips=1, size=64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "again.key.json", "page"]


def test_a_page_that_fails_leaves_nothing(folders, tmp_path):
    (tmp_path / "mute").mkdir()
    write_mp4(tmp_path / "mute/a.mp4", np.zeros((6, 64, 64, 3), np.uint8), 25)
    with pytest.raises(ValueError, match="has no sound"):
        ratings.make({"ours": folders["ours"], "mute": tmp_path / "mute"}, tmp_path / "page")
    assert [path.name for path in tmp_path.iterdir()] == ["mute"]


QUALITY = {"ours": 3.5, "theirs": 3.3, "truth": 4.6}


@pytest.fixture(scope="module")
def answers(made, tmp_path_factory) -> list[Path]:
    _, key = made
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("answers")
    for participant in range(12):
        leaning = rng.normal(0, 0.3)
        ratings = [
            {"code": code, "answers": {a: _rating(rng, QUALITY[v["method"]] + leaning) for a in key["aspects"]}}
            for code, v in key["videos"].items()
        ]
        content = {"page": key["page"], "participant": str(participant + 1), "ratings": ratings}
        (folder / f"ratings-{participant}.json").write_text(json.dumps(content))
    return sorted(folder.glob("*.json"))


def _rating(rng, mean: float) -> int:
    return int(np.clip(np.rint(rng.normal(mean, 0.8)), 1, 5))


def test_the_analysis_is_scipys_on_the_participants_means(made, answers):
    found = analyse(ratings.key_of(made[0]), answers, without_style=["truth"])
    assert found.refused == found.unfinished == [] and len(found.ratings) == 12 * (2 * 12 + 8)
    tables = per_participant(found.ratings)
    groups = [tables[name]["lip_sync"] for name in METHODS]
    f, p = stats.f_oneway(*groups)
    row = found.anova.set_index("aspect").loc["lip_sync"]
    assert (row["f"], row["p"], row["df_between"], row["df_within"]) == (pytest.approx(f), pytest.approx(p), 2, 33)
    tukey = found.tukey.set_index(["aspect", "method", "other"])
    assert tukey.loc[("lip_sync", "ours", "truth"), "p"] < 0.001 < 0.05 < tukey.loc[("lip_sync", "ours", "theirs"), "p"]
    means = found.means.set_index(["aspect", "method"])
    mean = means.loc[("lip_sync", "ours")]
    assert mean["low"] < groups[0].mean() < mean["high"] and mean["mean"] == pytest.approx(groups[0].mean())
    interval = stats.ttest_1samp(groups[0], 0).confidence_interval()
    assert (mean["low"], mean["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert ("style", "truth") not in means.index


def test_one_participant_has_means_but_no_tests(made, answers):
    found = analyse(ratings.key_of(made[0]), answers[:1])
    assert len(found.means) == 9 and found.anova.empty and found.tukey.empty
    assert found.means["low"].isna().all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"page": "other"}, "was saved by page other"),
        ({"ratings": []}, "has no rating"),
        ({"ratings": [1]}, "is no file of ratings"),
        ({"ratings": [{"code": "ffff", "answers": {}}]}, "has not: ffff"),
    ],
)
def test_files_that_do_not_fit_are_left_out(made, answers, tmp_path, change, says):
    content = json.loads(answers[0].read_text()) | change
    (tmp_path / "bad.json").write_text(json.dumps(content))
    (tmp_path / "junk.json").write_text("{")
    found = analyse(ratings.key_of(made[0]), [answers[1], tmp_path / "bad.json", tmp_path / "junk.json"])
    assert says in found.refused[0]
    assert found.refused[1:] == ["junk.json: is no file of ratings that the page saved"]
    with pytest.raises(ValueError, match="no file of ratings can be used"):
        analyse(ratings.key_of(made[0]), [tmp_path / "bad.json"])


@pytest.mark.parametrize("rating", [6, 0, True, 2.5, None])
def test_what_is_no_rating_is_told(made, answers, tmp_path, rating):
    content = json.loads(answers[0].read_text())
    content["ratings"][0]["answers"]["realness"] = rating
    (tmp_path / "odd.json").write_text(json.dumps(content))
    found = analyse(ratings.key_of(made[0]), [answers[1], tmp_path / "odd.json"])
    assert f"has a rating of {rating!r}" in found.refused[0]


def test_of_a_participants_files_the_one_with_the_most_answers_counts(made, answers, tmp_path):
    content = json.loads(answers[0].read_text())
    stopped, again = tmp_path / "ratings-0 (1).json", tmp_path / "ratings-0 (2).json"
    stopped.write_text(json.dumps(content | {"ratings": content["ratings"][:5]}))
    again.write_text(json.dumps(content))
    found = analyse(ratings.key_of(made[0]), [stopped, answers[0], again])
    assert found.refused == [
        "ratings-0 (1).json: participant 1 has more answers in ratings-0.json",
        "ratings-0 (2).json: participant 1 has as many answers in ratings-0.json",
    ]
    assert found.unfinished == [] and len(found.ratings) == 12 * 3


def test_an_unfinished_file_counts_and_is_told(made, answers, tmp_path):
    content = json.loads(answers[0].read_text())
    stopped = tmp_path / "stopped.json"
    stopped.write_text(json.dumps(content | {"ratings": content["ratings"][:5]}))
    found = analyse(ratings.key_of(made[0]), [stopped])
    assert found.unfinished == ["stopped.json: 5 of 12 videos rated"] and len(found.ratings) == 5 * 3


def test_a_file_that_is_no_key_is_told(answers):
    with pytest.raises(ValueError, match=r"ratings-0\.json is not the key"):
        analyse(answers[0], answers)
