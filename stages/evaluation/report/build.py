"""From a run's results to reports/: tables, figures, the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.evaluation.report import (
    claims,
    glance,
    judges,
    layouts,
    other_systems,
    page,
    paper_tables,
    portraits,
    ratings,
    sections,
    style_sections,
)
from stages.evaluation.report.job import Job, attempt
from stages.evaluation.report.layouts import RATED, SYSTEM
from stages.evaluation.report.paper_figures import FIGURES
from stages.evaluation.report.results import Absent, Results
from stages.files import atomic_path, fresh_dir
from stages.params import Params

STATEMENTS = {
    "demo": (
        "Every number on this page comes from the embedded demo corpus: synthetic speakers, reshaped from one "
        "photograph, moved by a facial rig and voiced by a speech synthesiser, with small networks trained briefly. "
        "They show that the pipeline works from end to end and how its parts compare on this corpus. "
        "They say nothing about real faces, and are not comparable with the published numbers."
    ),
    "videos": (
        "Every number on this page comes from the videos that this run was given, with networks trained on them. "
        "They compare the methods of this run with each other; "
        "the published numbers come from other data and stand apart."
    ),
}


@dataclass(frozen=True)
class Report:
    """What a report says in numbers and tables, beside its files."""

    numbers: dict[str, float]
    tables: dict[str, pd.DataFrame]


def build(results: Results, params: Params, out: Path, commit: str) -> Report:
    """Write `out`/tables, `out`/figures and `out`/index.html; equal arguments give equal bytes.

    Args:
        commit: the code's version, as shown; may be empty.
    """
    job = Job(results, params, fresh_dir(out / "figures"))
    published = paper_tables.load_published()
    per_clip = results.per_clip
    every = per_clip | {f"{SYSTEM}{name}": frame for name, frame in results.methods.items()}
    every |= {f"{RATED}{name}": frame for name, frame in ratings.rated(results).items()}
    tables = [
        paper_tables.build(layout, every, published.get(layout.name, []), job.estimate, results.reasons)
        for layout in layouts.tables(sorted(results.methods), list(ratings.rated(results)))
    ]
    content: dict[str, Any] = {
        "corpus": attempt(sections.corpus_section, job),
        "fit": attempt(sections.fit_section, job),
        "gallery": attempt(sections.gallery_section, job),
        "lip_expert": attempt(sections.lip_expert_section, job),
        "styles": attempt(style_sections.style_section, job),
        "intensity": attempt(style_sections.intensity_section, job),
        "portraits": attempt(portraits.portraits_section, job),
        "training": attempt(sections.training_section, job),
        "glance": glance.lines(per_clip, published),
        "figures": FIGURES,
        "systems": other_systems.rows(results, published),
        "rating": ratings.section(results),
        "preference": results.preference,
        "tables": tables,
        "run": _run(results, params, commit, published["source"]),
    }
    measured = [content[part] for part in ("styles", "intensity") if not isinstance(content[part], Absent)]
    content["findings"] = judges.check(per_clip, results.metrics) + [
        claims.check(claim, per_clip) for claim in claims.CLAIMS
    ]
    content["findings"] += [finding for part in measured for finding in part["findings"]]
    frames = {table.name: paper_tables.frame(table) for table in tables}
    _write_tables(tables, frames, fresh_dir(out / "tables"))
    with atomic_path(out / "index.html") as tmp:
        tmp.write_text(page.render(content), encoding="utf-8")
    return Report({name: value for part in measured for name, value in part["numbers"].items()}, frames)


def _write_tables(tables: list[paper_tables.Table], frames: dict[str, pd.DataFrame], folder: Path) -> None:
    for table in tables:
        frames[table.name].to_csv(folder / f"{table.name}.csv", index=False)
        (folder / f"{table.name}.tex").write_text(paper_tables.to_tex(table), encoding="utf-8")


def _run(results: Results, params: Params, commit: str, source: str) -> dict[str, Any]:
    evaluated = {clip_id for frame in results.per_clip.values() for clip_id in frame.index}
    speakers = results.split.loc[results.split.index.isin(evaluated), "speaker"].nunique()
    chance = pd.concat(
        [pd.Series(dtype=float), *(frame["sa_chance"] for frame in results.per_clip.values() if "sa_chance" in frame)]
    )
    return {
        "profile": params.profile,
        "corpus": params.ingest.source,
        "seed": params.seed,
        "commit": commit,
        "statement": STATEMENTS["demo" if params.ingest.source == "demo" else "videos"],
        "test_clips": len(evaluated),
        "test_speakers": speakers,
        "size": params.evaluate.size,
        "sa_chance": chance.iloc[0] if len(chance) else None,
        "source": source,
        "not_shown": _not_shown(results),
    }


_NO_METHODS = "Other authors' methods: none was run here. Where their numbers appear, they are the paper's."


def _not_shown(results: Results) -> list[str]:
    measured = {column for frame in results.per_clip.values() for column in frame if frame[column].notna().any()}
    sentences = [
        *([] if results.methods else [_NO_METHODS]),
        *(["The paper's user study: no answers that could be used."] if isinstance(results.rating, Absent) else []),
        "How results vary with the seed: each network was trained once.",
        "Running times: they differ from machine to machine; MLflow has those of this run.",
    ]
    if "sync_conf" not in measured:
        sentences.append(
            "SyncNet's confidence by the published weights: "
            "a SyncNet trained on this corpus stands in, as “Sync, corpus judge”."
        )
    if "csim" not in measured:
        sentences.append(
            "Identity preservation by ArcFace (CSIM): no such network was given"
            + (
                "; one that is fitted to this corpus' faces stands in, as “Identity, corpus judge”."
                if "id_sim_corpus" in measured
                else "."
            )
        )
    return sentences
