"""The report with other authors' videos and ratings, and what it says of its judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from stages import params
from stages.evaluation.report import claims, glance, judges, other_systems, ratings
from stages.evaluation.report.build import build
from stages.evaluation.report.paper_tables import load_published
from stages.evaluation.report.results import Results


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("others") / "run"
    shutil.copytree(finished_run, root)
    for name, source in (("EAMM", "no_lip_expert"), ("mine", "full")):
        scores = pd.read_parquet(root / f"evaluation/{source}/per_clip.parquet")
        scores["frames"] = 45.0
        scores.loc[0, ["frames", "ssim"]] = None
        (root / "evaluation/methods" / name).mkdir(parents=True)
        scores.to_parquet(root / f"evaluation/methods/{name}/per_clip.parquet")
        shutil.copytree(root / f"generated/{source}/videos", root / "data/methods" / name)
    _rated(root / "data/ratings")
    return root


def _rated(folder: Path) -> None:
    folder.mkdir()
    methods = {"0a": "full", "0b": "truth", "0c": "MakeItTalk"}
    key = {"page": "s", "aspects": ["lip_sync", "realness", "style"]}
    key["videos"] = {code: {"method": name, "clip_id": "a"} for code, name in methods.items()}
    (folder / "rating.key.json").write_text(json.dumps(key))
    for person in range(4):
        given = [
            {"code": code, "answers": {"lip_sync": 1 + (person + i) % 5, "realness": 3, "style": 2 + i}}
            for i, code in enumerate(methods)
        ]
        content = {"page": "s", "participant": str(person), "ratings": given}
        (folder / f"ratings-{person}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def built(run: Path, settings: params.Params, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("reports")
    return build(Results(run), settings, out, ""), (out / "index.html").read_text(encoding="utf-8")


def test_other_methods_stand_in_the_tables_with_their_coverage(built):
    table = built[0].tables["table_1"]
    ours = table[table["source"] == "this run"].set_index("method")
    assert {"EAMM", "mine", "Full"} <= set(ours.index)
    assert ours.loc["EAMM", "ssim_n"] == ours.loc["EAMM", "clips"] - 1
    assert pd.isna(ours.loc["EAMM", "sa_p"]) and ours.loc["EAMM", "m_lmd_p"] <= 1  # SA is not measured in the same way
    assert "EAMM · MEAD" in set(table["method"][table["source"] == "published"])
    assert "Other authors' methods: none was run here" not in built[1]


def test_ratings_are_table_six(built):
    table = built[0].tables["table_6"].set_index(["source", "method"])
    assert table.loc[("this run", "full"), "clips"] == 4
    assert table.loc[("this run", "full"), "realness"] == 3
    assert pd.isna(table.loc[("this run", "truth"), "style"]) and pd.isna(
        table.loc[("this run", "MakeItTalk"), "style"]
    )
    assert table.loc[("published", "DreamTalk"), "style"] == 3.34
    assert "take the methods for independent groups" in built[1] and "are paired by participant" in built[1]
    assert "4 participants gave" in built[1] and "One-way analysis of variance" in built[1]


def test_ratings_that_cannot_be_used_is_told_and_stops_nothing(tmp_path: Path):
    folder = tmp_path / "data/ratings"
    folder.mkdir(parents=True)
    (folder / "rating.key.json").write_text("{}")
    assert "Nobody was asked" in ratings.section(Results(tmp_path)).reason
    (folder / "ratings-1.json").write_text("{")
    assert "rating.key.json is not the key" in ratings.section(Results(tmp_path)).reason
    (folder / "rating.key.json").write_text(json.dumps({"page": "s", "aspects": ["lip_sync"], "videos": {}}))
    results = Results(tmp_path)
    assert "no file of ratings can be used: ratings-1.json" in ratings.section(results).reason
    assert ratings.rated(results) == {}
    (folder / "ratings-2.key.json").write_text("{}")  # a key, whatever its page is called
    assert "it holds 2" in ratings.section(Results(tmp_path)).reason


def test_every_system_has_a_row(run: Path, finished_run: Path):
    rows = {row.system.name: row for row in other_systems.rows(Results(run), load_published())}
    assert len(rows) == 12
    assert rows["EAMM"].scored == "15 of 16" and rows["Wav2Lip"].scored is None
    assert rows["DiffTalk"].reported == "none" and "CSIM" in rows["TH-PAD"].reported
    assert all(row.scored is None for row in other_systems.rows(Results(finished_run), load_published()))


def test_our_numbers_stand_beside_the_papers(finished_run: Path):
    lines = {line.metric.column: line for line in glance.lines(Results(finished_run).per_clip, load_published())}
    assert lines["m_lmd"].published == ("2.91", "2.15", "2.72") and lines["m_lmd"].gap is None
    assert lines["csim"].ours == "–" and lines["csim"].published[0] == "0.71"
    assert lines["sa"].gap[1] == "-6 %"
    assert lines["sync_conf_corpus"].published == ("–", "–", "–") and lines["sync_conf_corpus"].gap[1] == "-8 %"


def test_identity_is_that_of_another_persons_style(finished_run: Path):
    per_clip = Results(finished_run).per_clip
    lines = {line.metric.column: line for line in glance.lines(per_clip, load_published())}
    assert lines["id_sim_corpus"].ours == f"{per_clip['stranger_style']['id_sim_corpus'].mean():.3f}"
    claim = next(claim for claim in claims.CLAIMS if claim.worse == "stranger_style")
    assert claims.check(claim, per_clip).verdict == "holds"


def test_the_judges_are_put_to_the_test(finished_run: Path):
    per_clip = {name: frame.copy() for name, frame in Results(finished_run).per_clip.items()}
    truth = per_clip["ground_truth"]
    truth[["ssim", "f_lmd", "m_lmd", "sa"]] = [1.0, 0.0, 0.0, 1.0]
    truth["sync_offset_corpus"] = 0.0
    found = judges.check(per_clip, {})
    assert len(found) == 5 and {finding.verdict for finding in found} == {"holds"}
    truth[["m_lmd", "sa", "sync_offset_corpus"]] = [0.5, 0.5, 4.0]
    assert [finding.verdict for finding in judges.check(per_clip, {})][:3] == ["does not hold"] * 3
    assert judges.check({}, {}) == []


@pytest.mark.parametrize(("auc", "verdict"), [(0.97, "holds"), (0.6, "does not hold")])
def test_the_identity_judge_must_tell_speakers_apart(auc: float, verdict: str):
    numbers = {"held_out/auc": auc, "held_out/same_speaker": 0.9, "held_out/other_speaker": 0.1}
    (found,) = judges.check({}, {"identity_judge": numbers})
    assert found.verdict == verdict and found.numbers == ("0.90", "0.10") and f"{100 * auc:.1f} %" in found.text


def test_a_preference_is_told_with_its_interval_and_its_test(tmp_path: Path):
    folder = tmp_path / "data/ratings"
    folder.mkdir(parents=True)
    assert "Nobody was asked which style" in Results(tmp_path).preference.reason
    sides = {"c1": ("predicted", "a"), "c2": ("stranger", "a"), "c3": ("predicted", "b"), "c4": ("stranger", "b")}
    shown = {code: {"method": method, "clip_id": clip} for code, (method, clip) in sides.items()}
    key = {"page": "s", "asked": 2, "methods": ["predicted", "stranger"], "videos": shown}
    for person, codes in (("1", ("c1", "c3")), ("2", ("c1", "c4"))):
        choices = [{"chosen": code, "side": "left"} for code in codes]
        content = {"page": "s", "participant": person, "choices": choices}
        (folder / f"choices-{person}.json").write_text(json.dumps(content))
    assert "it holds 0" in Results(tmp_path).preference.reason
    (folder / "rating.pairs.json").write_text(json.dumps(key))
    found = Results(tmp_path).preference
    assert (found.share, found.prefer_first, found.prefer_second, found.left) == (0.75, 1, 0, 1.0)
    (folder / "rating.pairs.json").write_text("{}")
    assert "rating.pairs.json is not the key" in Results(tmp_path).preference.reason
