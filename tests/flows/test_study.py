from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from flows import study
from flows.graph import Stage, with_needs
from flows.workspace import borrowed as borrowed_workspace
from flows.workspace import held
from stages.params import ParamsError


@pytest.fixture
def workspace(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    return tmp_path


def test_a_grid_multiplies_and_each_point_has_every_seed() -> None:
    found = study.points(["denoiser.sync_weight=0,0.02", "denoiser.layers=1,2"], [3, 4])
    assert len(found) == 8
    assert found[0] == study.Point(("denoiser.sync_weight=0", "denoiser.layers=1"), 3)
    assert found[1].label == "denoiser.sync_weight=0,denoiser.layers=1,seed=4"


@pytest.mark.parametrize(
    "grid, seeds",
    [
        *[([], []), ([], [1, 1]), (["profile=paper,demo"], [0]), (["a=b=]"], [0]), (["training_seed=1,2"], [0])],
        *[(["a=1", "a=2"], [0]), (["a=1,1"], [0])],
    ],
)
def test_a_study_that_makes_no_sense_is_refused(grid: list[str], seeds: list[int]) -> None:
    with pytest.raises(ParamsError):
        study.points(grid, seeds)


def test_stages_without_numbers_are_refused_before_anything_runs() -> None:
    graph = {
        "crop": Stage("crop", (), "", ("data/clips",), ()),
        "evaluate@full": Stage("evaluate@full", ("crop",), "", ("metrics/full.json",), ("metrics/full.json",)),
    }
    assert [stage.name for stage in study.targets(graph, ["evaluate"])] == ["evaluate@full"]
    for stages, words in ((["crop"], "crop; evaluate have"), ([], "no stage"), (["trim"], "no such stage: trim")):
        with pytest.raises(ValueError, match=words):
            study.targets(graph, stages)
    assert with_needs(graph, []) == graph


def test_parameters_are_set_point_by_point_and_put_back(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_bytes()
    with borrowed_workspace(print):
        study.set_parameters(study.Point(("denoiser.sync_weight=0.5",), 1))
        study.set_parameters(study.Point(("denoiser.layers=2",), 7))
        now = yaml.safe_load((workspace / "params.yaml").read_text())
        assert (now["training_seed"], now["denoiser"]["layers"]) == (7, 2)
        assert now["denoiser"]["sync_weight"] == yaml.safe_load(before)["denoiser"]["sync_weight"]
    assert (workspace / "params.yaml").read_bytes() == before


def test_what_a_killed_study_left_is_put_back_by_the_next_flow(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_bytes()
    killed = borrowed_workspace(print)
    killed.__enter__()
    study.set_parameters(study.Point((), 5))
    with held("reproduce", print):
        assert (workspace / "params.yaml").read_bytes() == before


def test_what_was_edited_after_a_killed_study_stays(workspace: Path) -> None:
    killed, told = borrowed_workspace(print), []
    killed.__enter__()
    study.set_parameters(study.Point((), 5))
    edited = (workspace / "params.yaml").read_text().replace("training_seed: 5", "training_seed: 6")
    (workspace / "params.yaml").write_text(edited)
    for _ in range(2):
        with held("reproduce", told.append):
            assert (workspace / "params.yaml").read_text() == edited
    assert len(told) == 1 and "params.yaml was edited" in told[0]


@pytest.mark.parametrize("override", ["denoiser.sync_wait=1", "denoiser.layers=many"])
def test_an_impossible_parameter_is_named(workspace: Path, override: str) -> None:
    with borrowed_workspace(print), pytest.raises(ParamsError, match=override.partition("=")[0].partition(".")[2]):
        study.set_parameters(study.Point((override,), 0))


@pytest.mark.parametrize(
    ("name", "grid", "stages", "told"),
    [
        ("Bad Name", [], ["evaluate"], "small letters"),
        ("good", ["foo.bar=1"], ["evaluate"], "foo.bar=1,seed=0: unknown key foo; allowed here: profile, seed"),
        ("good", ["denoiser.steps=9,abc"], ["evaluate"], "denoiser.steps is 'abc'"),
        ("good", [], ["nosuchstage"], "no such stage: nosuchstage; there are ingest, crop"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_anything_is_started(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, grid: list[str], stages: list[str], told: str
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(ValueError, match=re.escape(told)):
        study.check(name, grid, [0], stages)


def test_summary_pairs_seeds_with_the_complete_method() -> None:
    values = {("full", 0): 1.0, ("full", 1): 2.0, ("full", 2): 3.0}
    values |= {("no_lip_expert", seed): values["full", seed] + 1 + 0.01 * seed for seed in range(3)}
    results = pd.DataFrame(
        [("params.yaml", seed, "evaluate", variant, "m_lmd", value) for (variant, seed), value in values.items()],
        columns=["setting", "seed", "stage", "variant", "metric", "value"],
    )
    full, ablated = study.summarise(results).to_dict("records")
    assert (full["seeds"], full["mean"]) == (3, 2.0)
    assert full["high"] - full["mean"] == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)  # Student's t, two degrees
    assert ablated["against"] == "full" and ablated["difference"] == pytest.approx(1.01)
    assert 0.9 < ablated["difference_low"] < 1.01 < ablated["difference_high"] < 1.1
    assert "*" in study.markdown(study.summarise(results))


def test_every_stage_has_its_table() -> None:
    names = [("evaluate", "m_lmd"), ("evaluate", "seconds"), ("report", "share"), ("train", "m_lmd"), ("train", "loss")]
    results = pd.DataFrame(names, columns=["stage", "metric"])
    shown = [
        list(zip(*results[study.worth_a_column(results, w)].values.T, strict=True)) for w in ([], ["loss", "typo"])
    ]
    assert shown[0] == [("evaluate", "m_lmd"), ("report", "share"), ("train", "m_lmd")]
    assert shown[1] == [("evaluate", "m_lmd"), ("report", "share"), ("train", "loss")]


def test_scores_of_an_earlier_study_of_the_name_go(workspace: Path) -> None:
    results = pd.DataFrame(
        [("params.yaml", 0, "evaluate", "full", "m_lmd", 0.5)],
        columns=["setting", "seed", "stage", "variant", "metric", "value"],
    )
    for clips in ([pd.DataFrame({"clip_id": ["a"]})], []):
        folder = study.write("mine", "seed: 0\n", results, study.summarise(results), clips)
        assert (folder / study.CLIPS).is_file() == bool(clips)


def test_a_study_keeps_the_parameters_that_it_began_with(workspace: Path) -> None:
    results = pd.DataFrame(
        [("denoiser.layers=2", 0, "train_denoiser", "full", "loss", 0.5)],
        columns=["setting", "seed", "stage", "variant", "metric", "value"],
    )
    before = (workspace / "params.yaml").read_text()
    with borrowed_workspace(print):
        study.set_parameters(study.Point(("denoiser.layers=2",), 7))
        folder = study.write("mine", study.BEGAN_WITH.read_text(), results, study.summarise(results), [])
    assert (folder / "params.yaml").read_text() == before
    assert pd.read_csv(folder / "results.csv").equals(results)
