"""The preference test: what is laid out, and what is made of the choices."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stages.evaluation.rating import preference
from stages.evaluation.rating.choices import Preference, analyse


def make(compared: dict[str, Path], out: Path, **options: int) -> dict:
    methods = {name: compared[name] for name in ("predicted", "stranger")}
    return preference.make(methods, compared["real"], out, size=64, **{"participants": 8} | options)


@pytest.fixture(scope="module")
def made(compared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("made") / "page"
    return out, make(compared, out)


def test_sides_are_balanced_and_the_next_participant_sees_them_exchanged():
    laid_out = preference.orders(clips=6, participants=4, seed=0)
    for order in laid_out:
        assert sorted(sample % 6 for sample in order) == list(range(6))
        assert Counter(sample // 6 for sample in order) == {0: 3, 1: 3}
    for one, next_one in pairwise(laid_out):
        assert {(sample + 6) % 12 for sample in one} == set(next_one)
    assert len({tuple(sample % 6 for sample in order) for order in laid_out}) > 1


def test_pairs_are_of_one_clip_and_tell_nothing(made):
    out, key = made
    page = (out / "index.html").read_text()
    content = json.loads(page.partition("const content = ")[2].partition(";\n")[0])
    assert len(content["samples"]) == 2 * 6 and key["asked"] == 6
    for sample in content["samples"]:
        left, right = (key["videos"][sample[side]] for side in ("left", "right"))
        assert left["clip_id"] == right["clip_id"] and left["method"] != right["method"]
        assert sample["model"] not in key["videos"]
        assert all((out / f"videos/{code}.mp4").is_file() for code in sample.values())
    assert not any(name in page for name in key["methods"])
    assert preference.key_of(out).is_file() and len(list((out / "videos").iterdir())) == 3 * 6


@pytest.mark.parametrize("changed", ["predicted", "real"])
def test_other_videos_of_the_same_names_are_another_page(made, compared, tmp_path, changed):
    shutil.copytree(compared[changed], tmp_path / changed)
    shutil.copyfile(compared[changed] / "b.mp4", tmp_path / changed / "a.mp4")
    other = make(compared | {changed: tmp_path / changed}, tmp_path / "page")
    assert other["page"] != made[1]["page"]
    [file, *_] = answered(made, tmp_path, [1.0])
    with pytest.raises(ValueError, match=f"was saved by page {made[1]['page']}"):
        analysed((tmp_path / "page", other), [file])


def test_what_cannot_be_asked_is_named(compared, tmp_path):
    with pytest.raises(ValueError, match="between two methods"):
        preference.make({"predicted": compared["predicted"]}, compared["real"], tmp_path / "page")
    make(compared, tmp_path / "page")
    make(compared, tmp_path / "page", seed=1)  # an earlier one is replaced
    (tmp_path / "page/mine.txt").touch()
    with pytest.raises(ValueError, match="page holds something else"):
        make(compared, tmp_path / "page")


def answered(made: tuple[Path, dict], folder: Path, chances: list[float]) -> list[Path]:
    """A file for each participant, who prefers “predicted” with a chance of their own."""
    out, key = made
    content = json.loads((out / "index.html").read_text().partition("const content = ")[2].partition(";\n")[0])
    rng = np.random.default_rng(0)
    for participant, chance in enumerate(chances):
        choices = []
        for index in content["orders"][participant % len(content["orders"])]:
            sample = content["samples"][index]
            wanted = "predicted" if rng.random() < chance else "stranger"
            side = next(side for side in ("left", "right") if key["videos"][sample[side]]["method"] == wanted)
            choices.append({"chosen": sample[side], "side": side, "seconds": 9})
        about = {"page": key["page"], "participant": str(participant + 1), "choices": choices}
        (folder / f"choices-{participant}.json").write_text(json.dumps(about))
    return sorted(folder.glob("choices-*.json"))


def analysed(made: tuple[Path, dict], files: list[Path]) -> Preference:
    return analyse(preference.key_of(made[0]), files)


def test_a_clear_preference_is_found_with_its_interval(made, tmp_path):
    found = analysed(made, answered(made, tmp_path, [0.9] * 8))
    won = int((found.choices["method"] == "predicted").sum())
    shares = (found.choices["method"] == "predicted").groupby(found.choices["participant"]).mean()
    people = stats.t.interval(0.95, 7, shares.mean(), stats.sem(shares))
    low, high = stats.binomtest(won, 48).proportion_ci(method="exact")
    assert found.share == pytest.approx(won / 48) and found.low > 0.5
    assert (found.low, found.high) == pytest.approx((min(low, people[0]), max(high, people[1])))
    assert found.prefer_first == 8 and found.p == pytest.approx(2 * 0.5**8)
    assert found.refused == found.unfinished == [] and found.numbers["choices"] == 48


def test_nobody_with_a_preference_is_no_evidence(made, tmp_path):
    files = answered(made, tmp_path, [1.0, 0.0])
    found = analysed(made, files)
    assert (found.share, found.prefer_first, found.prefer_second, found.p) == (0.5, 1, 1, 1.0)
    assert found.left == 0.5
    assert (found.low, found.high) == (0, 1)  # two people who disagree say nothing of others


def test_one_participant_has_the_binomial_interval(made, tmp_path):
    found = analysed(made, answered(made, tmp_path, [1.0]))
    assert (found.low, found.high) == pytest.approx(stats.binomtest(6, 6).proportion_ci(method="exact"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"page": "other"}, "was saved by page other"),
        ({"choices": []}, "has no choice"),
        ({"choices": [{"chosen": "ffff", "side": "left"}]}, "has not: ffff"),
        ({"participant": "2"}, "participant 2 has as many answers in choices-0.json"),
    ],
)
def test_files_that_do_not_fit_are_left_out(made, tmp_path, change, says):
    files = answered(made, tmp_path, [1.0, 1.0])
    files[0].write_text(json.dumps(json.loads(files[0].read_text()) | change))
    found = analysed(made, files)
    assert len(found.refused) == 1 and says in found.refused[0]


def test_a_pair_judged_twice_and_a_wrong_side_are_refused_and_an_unfinished_file_counts(made, tmp_path):
    files = answered(made, tmp_path, [1.0, 1.0, 1.0])
    first, second, third = (json.loads(path.read_text()) for path in files)
    first["choices"].append(first["choices"][0])
    second["choices"][0]["side"] = "middle"
    third["choices"] = third["choices"][:2]
    for path, content in zip(files, (first, second, third), strict=True):
        path.write_text(json.dumps(content))
    found = analysed(made, files)
    assert "twice" in found.refused[0] and "'middle'" in found.refused[1]
    assert found.unfinished == ["choices-2.json: 2 of 6 pairs judged"] and len(found.choices) == 2
    with pytest.raises(ValueError, match=r"choices-0\.json is not the key"):
        analyse(files[0], files)


def test_who_went_on_counts_with_all_answers_whatever_the_browser_calls_the_files(made, tmp_path):
    whole, *_ = answered(made, tmp_path, [1.0])
    content = json.loads(whole.read_text())
    first, third = tmp_path / "choices-0 (1).json", tmp_path / "choices-0 (2).json"
    first.write_text(json.dumps(content | {"choices": content["choices"][:2]}))
    third.write_text(json.dumps(content | {"choices": content["choices"][:4]}))
    for files in ([first, whole, third], [whole, third, first], [third, first, whole]):
        found = analysed(made, files)
        assert len(found.choices) == 6 and found.unfinished == []
        assert {refused.partition(":")[0] for refused in found.refused} == {first.name, third.name}
        assert all(": participant 1 has more answers in " in refused for refused in found.refused)
