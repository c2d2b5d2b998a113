from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from stages.evaluation.report import claims, paper_tables
from stages.evaluation.report.layouts import LAYOUTS, METRICS, rating_table
from stages.evaluation.report.results import Results
from stages.evaluation.report.statistics import estimate

ESTIMATE = partial(estimate, resamples=50, seed=0)


@pytest.fixture(scope="module")
def per_clip(finished_run: Path) -> dict[str, pd.DataFrame]:
    return Results(finished_run).per_clip


def build(name: str, per_clip: dict[str, pd.DataFrame], reasons: dict[str, str] | None = None) -> paper_tables.Table:
    layout = next(layout for layout in LAYOUTS if layout.name == name)
    return paper_tables.build(layout, per_clip, paper_tables.load_published().get(name, []), ESTIMATE, reasons or {})


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_numbers_are_the_means_of_the_parquet(layout, per_clip, finished_run: Path) -> None:
    table = paper_tables.frame(build(layout.name, per_clip))
    ours = table[table["source"] == "this run"].set_index("method") if len(table) else table
    for variant, label in layout.rows.items():
        scores = pd.read_parquet(finished_run / "evaluation" / variant / "per_clip.parquet")
        for column in layout.columns:
            if column in scores:
                assert ours.loc[label, column] == pytest.approx(scores[column].mean() * METRICS[column].scale)
                assert ours.loc[label, f"{column}_n"] == scores[column].notna().sum()
                assert ours.loc[label, f"{column}_low"] <= ours.loc[label, column] <= ours.loc[label, f"{column}_high"]


def test_published_numbers_name_known_tables_and_metrics() -> None:
    published = paper_tables.load_published()
    published.pop("source")
    columns = {layout.name: layout.columns for layout in (*LAYOUTS, rating_table([]))}
    for name, rows in published.items():
        for row in rows:
            known = {column.removesuffix("_spread") for column in row} - {"method", "corpus"}
            assert known <= set(columns[name]), row


def test_published_numbers_stay_apart(per_clip) -> None:
    table = build("table_1", per_clip)
    assert "DreamTalk · MEAD" in [row.label for row in table.published]
    assert all(
        cell is None or (cell.estimate is None and not cell.best) for row in table.published for cell in row.cells
    )
    sync = [metric.column for metric in table.columns].index("sync_conf")
    assert all(row.cells[sync] is None for row in table.ours)  # the corpus judge never stands in the published column


def test_the_best_method_is_marked_and_references_do_not_compete(per_clip) -> None:
    table = build("table_1", per_clip)
    f_lmd = [metric.column for metric in table.columns].index("f_lmd")
    assert [row.label for row in table.ours if row.cells[f_lmd].best] == ["Full"]
    least = min(table.ours, key=lambda row: row.cells[f_lmd].mean)
    assert least.reference and not least.cells[f_lmd].best


def test_values_that_print_alike_are_equally_good() -> None:
    scores = {
        name: pd.DataFrame({"scd": [value]}, index=["a"])
        for name, value in (("predicted_full", 0.30001), ("predicted_regression", 0.30002))
    }
    table = build("table_5", scores)
    assert all(row.cells[0].best for row in table.ours)


def test_a_mean_over_few_clips_is_not_the_best_of_all() -> None:
    values = {"full": [2.0, 2.0, 2.0], "no_lip_expert": [3.0, 3.0, 3.0], "uncond_lip_expert": [1.0, None, None]}
    scores = {name: pd.DataFrame({"m_lmd": column}, index=list("abc")) for name, column in values.items()}
    table = build("table_4", scores)
    m_lmd = [metric.column for metric in table.columns].index("m_lmd")
    assert len(table.ours) == 3 and [row.label for row in table.ours if row.cells[m_lmd].best] == ["Full"]
    assert paper_tables.to_tex(table).count("(1 of 3)") == 1


def test_the_full_model_is_tested_against_each_ablation_and_not_against_itself(per_clip) -> None:
    rows = {row.label: row for row in build("table_4", per_clip).ours}
    assert all(cell is None or cell.p is None for cell in rows["Full"].cells)
    assert all(cell is None or cell.p < 0.05 for cell in rows["w/o lip expert"].cells[:3])


def test_missing_results_are_told_in_words(per_clip) -> None:
    partly = {name: frame for name, frame in per_clip.items() if name != "full_pirenderer"}
    absent = " ".join(build("table_1", partly, {"sync_conf": "no weights were given"}).absent)
    assert "Full, PIRenderer" in absent and "Sync (no weights were given)" in absent
    identity = build("table_2", per_clip)
    assert identity.ours and identity.absent == ("Not measured in this run: CSIM.",)
    blind = {name: frame.drop(columns="id_sim_corpus") for name, frame in per_clip.items()}
    nothing = build("table_2", blind)
    assert not nothing.ours and "CSIM" in nothing.absent[0] and "Identity, corpus judge" in nothing.absent[0]


def test_a_run_without_results_makes_tables_of_published_numbers_only() -> None:
    for layout in LAYOUTS:
        table = build(layout.name, {})
        assert not table.ours and table.absent
        assert len(paper_tables.frame(table)) == len(table.published)


def test_tex_is_a_tabular_with_the_best_bold(per_clip) -> None:
    tex = paper_tables.to_tex(build("table_1", per_clip))
    assert tex.count(r"\begin{tabular}") == 1 and r"SA (\%)" in tex
    full = next(line for line in tex.splitlines() if line.startswith("Full &"))
    assert re.search(r"\\mathbf\{[\d.]+\} \\pm", full)
    columns = re.match(r"\\begin\{tabular\}\{(l)(c+)\}", tex)
    assert full.count("&") == len(columns[2]) == len(build("table_1", per_clip).columns)


def test_tex_escapes_names_and_prints_published_spreads() -> None:
    scores = {"rating/my_method_#1 & 2": pd.DataFrame({"lip_sync": [3.0, 4.0]}, index=["1", "2"])}
    published = paper_tables.load_published()["table_6"]
    table = paper_tables.build(rating_table(["my_method_#1 & 2"]), scores, published, ESTIMATE, {})
    tex = paper_tables.to_tex(table)
    assert r"my\_method\_\#1 \& 2 &" in tex
    rows = paper_tables.frame(table).set_index("method")
    spread = rows.loc["DreamTalk", "lip_sync_spread"]
    assert spread == next(row for row in published if row["method"] == "DreamTalk")["lip_sync_spread"]
    assert rf"\pm {spread:.2f}$" in next(line for line in tex.splitlines() if line.startswith("DreamTalk &"))
    assert paper_tables.to_tex(replace(table, columns=(METRICS["lve"],), ours=(), published=())).count("$10^{-4}$") == 1


def test_claims_hold_only_with_significance(per_clip) -> None:
    claim = next(c for c in claims.CLAIMS if c.worse == "no_lip_expert" and c.metrics == ("m_lmd",))
    assert claims.check(claim, per_clip).verdict == "holds"
    swapped = {**per_clip, "full": per_clip["no_lip_expert"], "no_lip_expert": per_clip["full"]}
    assert claims.check(claim, swapped).verdict == "does not hold"
    assert claims.check(claim, {**per_clip, "no_lip_expert": per_clip["full"]}).verdict == "undecided"
    assert claims.check(claim, {}).verdict == "not measured"


def test_a_claim_falls_back_to_the_judge_that_was_asked(per_clip) -> None:
    claim = next(c for c in claims.CLAIMS if c.metrics == ("sync_conf", "sync_conf_corpus"))
    assert claims.check(claim, per_clip).compared.startswith("Sync, corpus judge")
