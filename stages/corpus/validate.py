"""Stage `validate`: data contracts on the corpus' tables and on sampled media; a broken one stops the run.

The page reports/contracts.html is written in either case; see stages/corpus/contracts for what is promised.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from stages import pages, tables, tracking
from stages import params as parameters
from stages.corpus.contracts import relations, suites
from stages.corpus.contracts.checks import Check, check_schema, run_suite, verdict
from stages.corpus.contracts.media import check_media
from stages.corpus.contracts.relations import Corpus
from stages.corpus.media import Clips
from stages.corpus.picture import TEMPLATES
from stages.corpus.picture.numbers import seconds
from stages.corpus.picture.whole import Picture, draw
from stages.corpus.together import MeadError, styles
from stages.files import atomic_path
from stages.params import Crop, Params, Validate
from stages.program import one_line_errors

RAW, CLIPS, SPLIT = Path("data/raw"), Path("data/clips"), Path("data/split.parquet")
PAGE, METRICS = Path("reports/contracts.html"), Path("metrics/validate.json")
SHOWN = 20  # rows named on stderr for one broken contract


def judged(corpus: Corpus, settings: Validate, crop: Crop, protocol: str) -> Iterator[tuple]:
    """Name, table, key column and suite of all that great-expectations judges; see :func:`check_tables`."""
    owner = relations.owners(corpus.split, corpus.clips, protocol)
    speakers = relations.parts_of(corpus.split, corpus.split["speaker"])
    sources, clips, quarantine, split = relations.related(corpus)
    yield "sources", sources, "item_id", suites.sources()
    yield "clips", clips, "clip_id", suites.clips(settings, crop)
    yield "clips", relations.style_counts(corpus.clips), "style", suites.styles(settings)
    yield "quarantine", quarantine, "item_id", suites.quarantine()
    yield "split", split, "clip_id", suites.split()
    yield "split", speakers, "owner", suites.speakers_apart(speakers, protocol)
    yield "split", relations.parts_of(corpus.split, owner), "owner", suites.videos_apart(protocol)
    yield "split", relations.part_counts(corpus.split), "part", suites.parts_filled()


def check_tables(corpus: Corpus, settings: Validate, crop: Crop, protocol: str) -> list[Check]:
    """The contracts on a corpus' tables alone, which must have their schemas' columns.

    Args:
        protocol: of the split (split.protocol).

    Raises:
        MeadError: the protocol is mead_sentences, and a clip is not named as MEAD's are.
    """
    checks = [check for work in judged(corpus, settings, crop, protocol) for check in run_suite(*work)]
    return [*checks, check_share(corpus, settings)]


def check_share(corpus: Corpus, settings: Validate) -> Check:
    """Is the share of videos that gave no clip at all acceptable?"""
    lost, share = _lost(corpus)
    contract = f"at most {settings.max_quarantined:.0%} of the videos gave no clip (here {share:.0%})"
    return verdict("quarantine", contract, lost if share > settings.max_quarantined else [])


def validate(paths: Corpus, settings: Validate, crop: Crop, protocol: str) -> tuple[list[Check], Corpus | None]:
    """All checks of a corpus' files, in Corpus' order, and its tables; none where a table has not its schema."""
    named = zip(Corpus._fields, paths, relations.SCHEMAS, strict=True)
    schemas = [check_schema(name, path, schema) for name, path, schema in named]
    thumbnails = paths.clips.parent / "thumbnails.parquet"
    if thumbnails.is_file():
        schemas.append(check_schema("thumbnails", thumbnails, tables.THUMBNAILS))
    if not all(check.kept for check in schemas):
        return schemas, None
    corpus = Corpus(*map(tables.read, paths))
    checks = [*schemas, *check_tables(corpus, settings, crop, protocol)]
    return [*checks, *check_media(Clips(paths.clips.parent), settings, crop)], corpus


def numbers(checks: list[Check], corpus: Corpus | None) -> dict[str, float]:
    """What metrics/validate.json holds."""
    counted = {"contracts": len(checks), "contracts_broken": sum(not check.kept for check in checks)}
    if corpus is None or corpus.clips.empty:
        return counted
    clips, lengths = corpus.clips, seconds(corpus.clips)
    found = {
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "styles": styles(clips).nunique(),
        "minutes": float(lengths.sum() / 60),
        "face_px_median": float(clips["face_px"].median()),
        "detection_rate": float(clips["detection_rate"].mean()),
        "quarantined": len(corpus.quarantine),
        "share_without_clip": _lost(corpus)[1],
        "max_av_gap_s": float((clips["audio_s"] - lengths).abs().max()),
    }
    return counted | {name: value for name, value in found.items() if math.isfinite(value)}


def write_page(checks: list[Check], picture: Picture | None, unseen: str, params: Params, path: Path) -> None:
    """The outcome as one self-contained HTML file.

    Args:
        unseen: why there is no picture, if there is none.
    """
    template = pages.environment(Path(__file__).parent, TEMPLATES).get_template("contracts_page.html.j2")
    names = dict.fromkeys(check.table for check in checks)
    page = template.render(
        checks=checks,
        tables={name: [check for check in checks if check.table == name] for name in names},
        broken=[check for check in checks if not check.kept],
        picture=picture,
        unseen=unseen,
        profile=params.profile,
        source=params.ingest.source,
        shown=SHOWN,
    )
    with atomic_path(path) as tmp:
        tmp.write_text(page, encoding="utf-8")


def report(checks: list[Check], params: Params, folder: Path, corpus: Corpus | None, run: tracking.StageRun) -> None:
    """The page, and the same in MLflow; `folder` gets the figures."""
    drawn, unseen = None, "There is no picture of a corpus without clips, or whose tables lack their columns."
    if corpus is not None and len(corpus.clips):
        drawn = draw(Clips(CLIPS), corpus.quarantine, corpus.split, params.crop, folder)
        run.artifact(folder, "figures")
        run.table("speakers", drawn.by_speaker)
        run.table("rejections", drawn.rejections)
        run.dataset("clips", corpus.clips, CLIPS / "clips.parquet")
    write_page(checks, drawn, unseen, params, PAGE)
    run.summary(numbers(checks, corpus))
    run.artifact(PAGE)
    run.table("contracts", pd.DataFrame([{**vars(check), "rows": "\n".join(check.rows)} for check in checks]))


@one_line_errors("validate", MeadError)
def main() -> None:
    params: Params = parameters.load()
    paths = relations.files(RAW, CLIPS, SPLIT)
    with (
        tracking.stage_run("validate", params, ["validate", "crop", "split"], metrics=METRICS) as run,
        TemporaryDirectory() as folder,
    ):
        checks, corpus = validate(paths, params.validate_, params.crop, params.split.protocol)
        report(checks, params, Path(folder), corpus, run)
    broken = [check for check in checks if not check.kept]
    print(f"validate: {len(checks) - len(broken)} of {len(checks)} contracts are kept; see {PAGE}", flush=True)
    for check in checks:
        if check.caveat:
            print(f"validate: WARNING: {check.caveat}", flush=True)
    for check in broken:
        print(f"validate: {check.table}: NOT so: {check.contract}", file=sys.stderr)
        for row in check.rows[:SHOWN]:
            print(f"    {row}", file=sys.stderr)
        if check.broken > SHOWN:
            print(f"    and {check.broken - SHOWN} more: see {PAGE}", file=sys.stderr)
    if broken:
        raise SystemExit(1)


def _lost(corpus: Corpus) -> tuple[list[str], float]:
    """Items without a clip, whether ingest or crop refused them, and their share of all. Every item is a video, or a
    part of one that a list names: the other files of a folder are none."""
    lost = set(corpus.sources["item_id"]) - set(tables.item_of(corpus.clips["clip_id"]))
    return sorted(lost), len(lost) / max(1, len(corpus.sources))


if __name__ == "__main__":
    main()
