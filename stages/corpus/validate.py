"""Stage `validate`: data contracts on the corpus' tables and on sampled media; a broken one stops the run.

The contracts on values are great-expectations suites, in code; columns and types are the schemas of stages/tables.py.
The page reports/contracts.html is written in either case.
"""

from __future__ import annotations

import io
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import decord
import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from great_expectations import expectations as gxe
from jinja2 import Environment, FileSystemLoader

from stages import params as parameters
from stages import tables, tracking
from stages.corpus.media import Clips
from stages.files import atomic_path
from stages.params import Crop, Params, Validate
from stages.program import one_line_errors

RAW, CLIPS = Path("data/raw"), Path("data/clips")
PAGE, METRICS = Path("reports/contracts.html"), Path("metrics/validate.json")
SAFE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
SHOWN = 20  # rows named for one broken contract
NO_ROW = "(the whole table)"


@dataclass(frozen=True)
class Check:
    """One contract's outcome: `rows` names what broke it."""

    table: str
    contract: str
    kept: bool
    rows: list[str] = field(default_factory=list)


def check_schema(name: str, path: Path, schema: pa.Schema) -> Check:
    """Are columns and types exactly the schema's?"""
    found = pq.read_schema(path)
    wrong = [
        f"{key}: {found.field(key).type if key in found.names else 'missing'}, not {schema.field(key).type}"
        for key in schema.names
        if key not in found.names or found.field(key).type != schema.field(key).type
    ]
    wrong += [f"{key}: unknown" for key in found.names if key not in schema.names]
    return Check(name, "columns and types are the schema's", not wrong, wrong)


def source_contracts() -> list[tuple[str, gxe.Expectation]]:
    """What must hold of every row of sources.parquet."""
    return [
        ("item_id is unique", gxe.ExpectColumnValuesToBeUnique(column="item_id")),
        ("item_id is a safe file name", gxe.ExpectColumnValuesToMatchRegex(column="item_id", regex=SAFE_NAME)),
        *_never_null("item_id", "corpus", "speaker", "origin", "status"),
        *_labels(),
        ("status is ok or failed", gxe.ExpectColumnValuesToBeInSet(column="status", value_set=["ok", "failed"])),
        ("a failed item has a reason, an ok one a path", _column_true("accounted")),
    ]


def clip_contracts(settings: Validate, crop: Crop) -> list[tuple[str, gxe.Expectation]]:
    """What must hold of every row of clips.parquet."""
    fixed = {"fps": crop.fps, "width": crop.size, "height": crop.size, "audio_rate": crop.audio_rate}
    least, most = crop.min_seconds * crop.fps, crop.max_seconds * crop.fps
    return [
        ("clip_id is unique", gxe.ExpectColumnValuesToBeUnique(column="clip_id")),
        ("clip_id is a safe file name", gxe.ExpectColumnValuesToMatchRegex(column="clip_id", regex=SAFE_NAME)),
        *_never_null("clip_id", "corpus", "speaker", "source_file", "shard", "sha256", "audio_s", "frames"),
        *_labels(),
        *(
            (f"{key} is {value}", gxe.ExpectColumnValuesToBeInSet(column=key, value_set=[value]))
            for key, value in fixed.items()
        ),
        (
            f"length is {crop.min_seconds:g} to {crop.max_seconds:g} s",
            gxe.ExpectColumnValuesToBeBetween(column="frames", min_value=least - 0.5, max_value=most + 0.5),
        ),
        (
            f"a face is found in at least {crop.min_detection_rate:.0%} of frames",
            gxe.ExpectColumnValuesToBeBetween(column="detection_rate", min_value=crop.min_detection_rate, max_value=1),
        ),
        (
            f"the face is at least {crop.min_face} px in the source",
            gxe.ExpectColumnValuesToBeBetween(column="face_px", min_value=crop.min_face),
        ),
        ("a clip begins before it ends", _column_true("forward")),
        (
            f"sound and picture end within {settings.max_av_gap_s:g} s of each other",
            gxe.ExpectColumnValuesToBeBetween(column="av_gap_s", min_value=0, max_value=settings.max_av_gap_s),
        ),
        (
            f"there are at least {settings.min_clips} clips",
            gxe.ExpectTableRowCountToBeBetween(min_value=settings.min_clips),
        ),
    ]


def quarantine_contracts() -> list[tuple[str, gxe.Expectation]]:
    """What must hold of every row of quarantine.parquet."""
    return [
        *_never_null("item_id", "source_file", "stage", "reason"),
        ("stage is ingest or crop", gxe.ExpectColumnValuesToBeInSet(column="stage", value_set=["ingest", "crop"])),
    ]


def run_contracts(
    name: str, frame: pd.DataFrame, key: str, contracts: list[tuple[str, gxe.Expectation]]
) -> list[Check]:
    """Run expectations on a table with great-expectations; broken ones name rows by `key`."""
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = gx.ExpectationSuite(name=name, expectations=[expectation for _, expectation in contracts])
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": frame.reset_index(drop=True)})
    named = {_identity(expectation): contract for contract, expectation in contracts}
    checks = []
    for result in batch.validate(suite, result_format={"result_format": "COMPLETE"}).results:
        places = result.result.get("unexpected_index_list") or []
        if result.exception_info.get("exception_message"):
            rows = [str(result.exception_info["exception_message"]).splitlines()[0]]
        else:
            column = result.expectation_config.kwargs.get("column")
            rows = [_row_name(frame, key, column, place) for place in places] or [NO_ROW] * (not result.success)
        checks.append(Check(name, named[_identity(result.expectation_config)], bool(result.success), rows))
    order = [contract for contract, _ in contracts]
    return sorted(checks, key=lambda check: order.index(check.contract))


def check_media(clips: Clips, sampled: int, settings: Validate, crop: Crop) -> list[Check]:
    """Decode `sampled` clips, spread evenly over the corpus, and compare them with the table."""
    ids = sorted(clips.table.index.drop_duplicates(keep=False))
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, min(sampled, len(ids))).astype(int))]
    problems: list[str] = []
    for clip_id in chosen:
        try:
            problems += [f"{clip_id}: {problem}" for problem in _media_problems(clips, clip_id, settings, crop)]
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            problems.append(f"{clip_id}: cannot be decoded: {error}")
    contract = f"{len(chosen)} sampled clips decode to what the table says: frames, size, rate, sound"
    return [Check("media", contract, not problems, problems)]


def check_share(clips: pd.DataFrame, quarantine: pd.DataFrame, settings: Validate) -> tuple[Check, float]:
    """Is the share of videos that gave no clip at all acceptable? Files that are no video do not count: a folder may
    hold others."""
    refused = set(quarantine.loc[quarantine["stage"] == "crop", "source_file"])
    lost = refused - set(clips["source_file"])
    share = len(lost) / max(1, len(refused | set(clips["source_file"])))
    contract = f"at most {settings.max_quarantined:.0%} of the videos gave no clip (here {share:.0%})"
    kept = share <= settings.max_quarantined
    return Check("quarantine", contract, kept, [] if kept else sorted(lost)), share


def validate(raw_dir: Path, clips_dir: Path, settings: Validate, crop: Crop) -> tuple[list[Check], dict[str, float]]:
    """All checks on a corpus, and its numbers."""
    files = {
        "sources": (raw_dir / "sources.parquet", tables.SOURCES),
        "clips": (clips_dir / "clips.parquet", tables.CLIPS),
        "quarantine": (clips_dir / "quarantine.parquet", tables.QUARANTINE),
    }
    schemas = [check_schema(name, path, schema) for name, (path, schema) in files.items()]
    if not all(check.kept for check in schemas):
        return schemas, {"checks": len(schemas), "checks_broken": sum(not check.kept for check in schemas)}
    sources, clips, quarantine = (tables.read(path) for path, _ in files.values())
    share_check, share = check_share(clips, quarantine, settings)
    clips = clips.assign(
        av_gap_s=(clips["audio_s"] - clips["frames"] / clips["fps"]).abs().round(4),
        forward=clips["end_s"] > clips["start_s"],
    )
    reason, path = sources["reason"].notna(), sources["path"].notna()
    sources = sources.assign(accounted=np.where(sources["status"] == "failed", reason, path))
    checks = [
        *schemas,
        *run_contracts("sources", sources, "item_id", source_contracts()),
        *run_contracts("clips", clips, "clip_id", clip_contracts(settings, crop)),
        *run_contracts("quarantine", quarantine, "item_id", quarantine_contracts()),
        share_check,
        *check_media(Clips(clips_dir), settings.sampled_media, settings, crop),
    ]
    return checks, {
        "checks": len(checks),
        "checks_broken": sum(not check.kept for check in checks),
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "minutes": float((clips["frames"] / clips["fps"]).sum() / 60),
        "quarantined": len(quarantine),
        "share_without_clip": share,
        "max_av_gap_s": float(clips["av_gap_s"].max()),
    }


def write_page(checks: list[Check], clips: pd.DataFrame, quarantine: pd.DataFrame, path: Path) -> None:
    """The outcome as one self-contained HTML file."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    seconds = clips["frames"] / clips["fps"]
    speakers = [
        {
            "speaker": speaker,
            "clips": len(part),
            "minutes": float(seconds[part.index].sum() / 60),
            "emotions": ", ".join(sorted(part["emotion"].dropna().unique())) or "unknown",
        }
        for speaker, part in clips.groupby("speaker")
    ]
    reasons = quarantine.groupby(["reason", "stage"]).size().reset_index(name="count")
    reasons = reasons.sort_values(["count", "reason"], ascending=[False, True])
    facts = {
        "clips": len(clips),
        "speakers": len(speakers),
        "minutes": f"{seconds.sum() / 60:.1f}",
        "candidates rejected": len(quarantine),
    }
    page = environment.get_template("contracts_page.html.j2").render(
        kept=all(check.kept for check in checks),
        passed=sum(check.kept for check in checks),
        checks=checks,
        facts=facts,
        reasons=reasons.to_dict("records"),
        speakers=speakers,
        shown=SHOWN,
    )
    with atomic_path(path) as tmp:
        tmp.write_text(page, encoding="utf-8")


@one_line_errors("validate")
def main() -> None:
    params: Params = parameters.load()
    with tracking.stage_run("validate", params, ["validate", "crop"], metrics=METRICS) as run:
        checks, numbers = validate(RAW, CLIPS, params.validate_, params.crop)
        clips, quarantine = (pd.read_parquet(CLIPS / f"{name}.parquet") for name in ("clips", "quarantine"))
        write_page(checks, clips, quarantine, PAGE)
        run.summary(numbers)
        run.artifact(PAGE)
        run.dataset("clips", clips, CLIPS / "clips.parquet")
        run.table("contracts", pd.DataFrame([{**vars(check), "rows": "\n".join(check.rows)} for check in checks]))
    broken = [check for check in checks if not check.kept]
    print(f"validate: {len(checks) - len(broken)} of {len(checks)} contracts are kept; see {PAGE}", flush=True)
    for check in broken:
        print(f"validate: {check.table}: NOT so: {check.contract}", file=sys.stderr)
        for row in check.rows[:SHOWN]:
            print(f"    {row}", file=sys.stderr)
        if len(check.rows) > SHOWN:
            print(f"    and {len(check.rows) - SHOWN} more: see {PAGE}", file=sys.stderr)
    if broken:
        raise SystemExit(1)


def _never_null(*columns: str) -> list[tuple[str, gxe.Expectation]]:
    return [(f"{key} is never null", gxe.ExpectColumnValuesToNotBeNull(column=key)) for key in columns]


def _labels() -> list[tuple[str, gxe.Expectation]]:
    emotions = list(tables.EMOTIONS)
    return [
        (
            f"emotion is null or one of {', '.join(emotions)}",
            gxe.ExpectColumnValuesToBeInSet(column="emotion", value_set=emotions),
        ),
        ("level is null or 1 to 3", gxe.ExpectColumnValuesToBeBetween(column="level", min_value=1, max_value=3)),
    ]


def _column_true(column: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True])


def _identity(expectation: object) -> tuple[str, str]:
    """What tells two expectations of one suite apart."""
    configuration = getattr(expectation, "configuration", expectation)
    return configuration.type, str(configuration.kwargs.get("column"))


def _row_name(frame: pd.DataFrame, key: str, column: str | None, place: int) -> str:
    row = frame.iloc[place]
    return str(row[key]) if column in (None, key) else f"{row[key]}: {column} = {row[column]}"


def _media_problems(clips: Clips, clip_id: str, settings: Validate, crop: Crop) -> list[str]:
    row = clips.table.loc[clip_id]
    reader = decord.VideoReader(io.BytesIO(clips.member(clip_id, "mp4")), num_threads=1)
    samples, rate = soundfile.read(io.BytesIO(clips.member(clip_id, "wav")), dtype="float32")
    shapes = {frame.shape for frame in (reader[0].asnumpy(), reader[len(reader) - 1].asnumpy())}
    gap = abs(len(samples) / rate - len(reader) / crop.fps)
    wrong = {
        f"{len(reader)} frames, the table says {row['frames']}": len(reader) != row["frames"],
        f"frames are {sorted(shapes)}, not {crop.size} x {crop.size}": shapes != {(crop.size, crop.size, 3)},
        f"{reader.get_avg_fps():.3f} frames/s, not {crop.fps}": abs(reader.get_avg_fps() - crop.fps) > 0.01,
        f"sound at {rate} Hz, not {crop.audio_rate}": rate != crop.audio_rate,
        f"sound and picture differ by {gap:.3f} s": gap > settings.max_av_gap_s,
        "the sound has more than one channel": samples.ndim != 1,
    }
    return [problem for problem, holds in wrong.items() if holds]


if __name__ == "__main__":
    main()
