"""What the studies' tables say of the paper's claims: verdicts follow numbers, and the page follows verdicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.utils.hydra import compose_and_dump

from experiments.findings import __main__ as findings
from experiments.findings import claims, measures
from experiments.findings.claims import Claim, compare
from stages import params as parameters

SEEDS, CLIPS = (0, 1, 2), 24
VARIANTS = ("full", "no_lip_expert", "uncond_lip_expert", "regression", "predicted_full", "predicted_no_speaker_info")
VARIANTS += ("predicted_no_cross_id", "predicted_regression")


def scores(**means: float) -> pd.DataFrame:
    """m_lmd of clips that differ among themselves more than the variants do."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in SEEDS:
        for clip in range(CLIPS):
            common = rng.normal(3, 1)
            for variant, mean in means.items():
                value = common + mean + rng.normal(0, 0.1)
                rows.append({"variant": variant, "seed": seed, "clip_id": f"c{clip:02d}", "m_lmd": value})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("full", "verdict"), [(0.0, "confirmed"), (1.0, "contradicted"), (0.5, "not shown")])
def test_a_difference_over_all_clips_and_seeds_decides(full: float, verdict: str) -> None:
    claim = Claim("1", "nearer", "m_lmd", "full", "no_lip_expert")
    found = compare(claim, scores(full=full, no_lip_expert=0.5))
    assert found.verdict == verdict
    assert found.low <= found.difference <= found.high
    assert found.difference == pytest.approx(full - 0.5, abs=0.05)
    assert (len(found.by_seed), found.clips) == (3, CLIPS)
    assert np.mean(found.by_seed) == pytest.approx(found.difference)
    assert (found.p < 0.01) == (verdict != "not shown")


def test_one_seed_that_disagrees_leaves_a_claim_open() -> None:
    table = scores(full=0.0, no_lip_expert=0.5)
    table.loc[(table["seed"] == 2) & (table["variant"] == "full"), "m_lmd"] += 0.6
    found = compare(Claim("1", "nearer", "m_lmd", "full", "no_lip_expert"), table)
    assert [value < 0 for value in found.by_seed] == [True, True, False]
    assert found.verdict == "not shown"


def test_one_seed_decides_nothing() -> None:
    found = compare(
        Claim("1", "nearer", "m_lmd", "full", "no_lip_expert"), scores(full=0, no_lip_expert=1).query("seed == 0")
    )
    assert np.isnan(found.low) and found.verdict == "not shown"


@pytest.mark.parametrize("seed_spread", [0.0, 0.3, 1.0])
def test_the_interval_misses_what_is_true_as_seldom_as_it_says(seed_spread: float) -> None:
    rng = np.random.default_rng(0)
    tries = 600
    parts = ((3, 1, seed_spread), (1, CLIPS, 1.0), (3, CLIPS, 1.0))
    drawn = [sum(rng.normal(0, spread, (seeds, clips)) for seeds, clips, spread in parts) for _ in range(tries)]
    missed = sum(not low < 0 < high for low, high, _ in map(claims.over_both, drawn)) / tries
    assert 0.02 < missed < 0.09


@pytest.mark.parametrize(("loss", "verdict"), [(0.02, "confirmed"), (0.6, "contradicted"), (0.155, "not shown")])
def test_as_near_allows_a_loss_within_the_margin(loss: float, verdict: str) -> None:
    claim = Claim("2", "as near", "m_lmd", "no_lip_expert", "full", equal=True)
    assert compare(claim, scores(full=0.0, no_lip_expert=loss)).verdict == verdict


def test_the_limit_is_the_last_scale_before_lips_get_lost() -> None:
    lips = {0.0: 0.7, 0.5: 0.9, 1.0: 0.85, 1.5: 0.82, 2.0: 0.6, 3.0: 0.84}
    table = pd.DataFrame([{"scale": scale, "seed": 0, "lips": value} for scale, value in lips.items()])
    assert measures.limits(table).to_dict() == {0: 1.5}


@pytest.fixture
def studies(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both studies' tables, made up, the parameters that they began with, and the demo's, which stand here now."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    compose_and_dump(tmp_path / "study.yaml", str(root / "conf"), None, "config", "", ["profile=study"])
    rng = np.random.default_rng(0)
    rows = [
        {"setting": setting, "seed": seed, "stage": "train_style_predictor", "variant": variant}
        | {"metric": f"test/code_distance/{name}"}
        for setting in ("ingest.demo.foretold=0.85", "ingest.demo.foretold=0")
        for seed in SEEDS
        for variant in ("full", "no_speaker_info", "no_cross_id", "regression")
        for name in ("predicted", "predicted_mean", "own_portrait", "own_portrait_mean", "mean_code")
    ]
    coupling = pd.DataFrame(rows).assign(value=lambda table: 4 + (table["variant"] == "no_speaker_info"))
    numbers = {f"intensity@{scale}": 4 * scale for scale in (0, 1, 2, 3)}
    numbers |= {f"lip_agreement@{scale}": 0.9 - 0.1 * (scale > 1) for scale in (0, 1, 2, 3)}
    numbers |= {f"style_share@{scale}": 0.8 * scale for scale in (0, 1, 2, 3)}
    for kind in ("purity", "silhouette"):
        numbers |= {f"style_{kind}/speaker": 0.3, f"style_{kind}/emotion": 0.8}
    report = [
        {"setting": "params.yaml", "seed": seed, "stage": "report", "variant": "", "metric": name, "value": value}
        for seed in SEEDS
        for name, value in numbers.items()
    ]
    predictors = coupling[coupling["setting"] == "ingest.demo.foretold=0.85"].assign(setting="params.yaml")
    clips = pd.DataFrame(
        [{"variant": v, "seed": s, "clip_id": f"c{c}"} for v in VARIANTS for s in SEEDS for c in range(CLIPS)]
    )
    for metric in dict.fromkeys(claim.metric for claim in claims.CLAIMS):
        clips[metric] = rng.normal(3, 0.1, len(clips)) + 2.0 * (clips["variant"] == "full")
    for name, table in (("claims", pd.concat([pd.DataFrame(report), predictors])), ("coupling", coupling)):
        folder = tmp_path / findings.STUDIES / name
        folder.mkdir(parents=True)
        table.to_csv(folder / "results.csv", index=False)
        (folder / "params.yaml").write_bytes((tmp_path / "study.yaml").read_bytes())
    clips.to_parquet(tmp_path / findings.STUDIES / "claims" / "clips.parquet")
    monkeypatch.setattr(findings, "OUT", tmp_path / "docs")
    return tmp_path


def test_the_page_says_what_the_numbers_say(studies: Path) -> None:
    assert findings.main() == 0
    page = (studies / "docs" / "findings.md").read_text(encoding="utf-8")
    table = pd.read_csv(studies / "docs" / "findings" / "claims.csv")
    sync = table.query("metric == 'sync_conf_corpus' and second == 'no_lip_expert' and first == 'full'").iloc[0]
    mouth = table.query("metric == 'm_lmd' and second == 'no_lip_expert'").iloc[0]
    assert (sync["verdict"], mouth["verdict"]) == ("confirmed", "contradicted")  # full was given more of every metric
    assert page.count("**contradicted** |") == (table["verdict"] == "contradicted").sum()
    assert "is **contradicted**. The corpus decides that" in page
    assert "the share grows by +1.60 [+1.60, +1.60]" in page and "style's intensity is **confirmed**" in page
    assert "Of the scales tried, ω = 1 is the largest" in page
    assert "comes and goes with what faces foretell is **not shown**" in page  # it is the same in both corpora
    assert page.count("+1.00 [+1.00, +1.00] | higher |") == 4
    assert (studies / "docs" / "findings" / "claims.png").stat().st_size > 1000
    kept = pd.read_csv(studies / "docs" / "findings" / "clips.csv")
    assert claims.compare(claims.CLAIMS[0], kept).difference == pytest.approx(sync["difference"], rel=1e-4)


def test_the_page_tells_of_the_studys_corpus_whatever_corpus_is_here_now(studies: Path) -> None:
    here, began = (parameters.load(studies / name) for name in ("params.yaml", "study.yaml"))
    assert here.ingest.demo.speakers != began.ingest.demo.speakers
    assert findings.main() == 0
    page = (studies / "docs" / "findings.md").read_text(encoding="utf-8")
    assert f"of the `study` profile\n({began.ingest.demo.speakers} generated speakers" in page
    assert f"ingest.demo.foretold={began.ingest.demo.foretold},0" in page
    assert f"share of the {began.report.neighbours} nearest" in page


@pytest.mark.parametrize("file", ["claims/clips.parquet", "claims/params.yaml", "coupling/results.csv"])
def test_without_studies_it_says_what_to_run(studies: Path, capsys: pytest.CaptureFixture, file: str) -> None:
    (studies / findings.STUDIES / file).unlink()
    assert findings.main() == 2
    told = capsys.readouterr().err
    assert file in told and "run the studies first" in told


@pytest.mark.parametrize("stage", ["train_style_predictor", "report"])
def test_a_study_without_a_stage_is_told(studies: Path, capsys: pytest.CaptureFixture, stage: str) -> None:
    file = studies / findings.STUDIES / "claims" / "results.csv"
    pd.read_csv(file).query("stage != @stage").to_csv(file, index=False)
    assert findings.main() == 2
    assert f"the studies lack {stage} " in (told := capsys.readouterr().err) and "run the studies first" in told


def test_a_study_without_a_variants_clips_is_told(studies: Path, capsys: pytest.CaptureFixture) -> None:
    file = studies / findings.STUDIES / "claims" / "clips.parquet"
    pd.read_parquet(file).query("variant != 'regression'").to_parquet(file)
    assert findings.main() == 2
    assert "the studies lack evaluate full and regression m_lmd" in capsys.readouterr().err
    assert not (studies / "docs").exists()


def test_the_published_table_is_what_the_published_scores_give(root: Path) -> None:
    docs = root / "docs"
    clips = pd.read_csv(docs / "findings/clips.csv")
    anew = findings.table([compare(claim, clips) for claim in claims.CLAIMS])
    told = pd.read_csv(docs / "findings/claims.csv")
    assert anew["verdict"].tolist() == told["verdict"].tolist()
    np.testing.assert_allclose(anew[["difference", "low", "high"]], told[["difference", "low", "high"]], rtol=1e-6)
    rows = [line for line in (docs / "findings.md").read_text(encoding="utf-8").splitlines() if line.endswith("** |")]
    assert [row.split("**")[-2] for row in rows] == told["verdict"].tolist()
