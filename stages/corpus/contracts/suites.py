"""The contracts on values, as great-expectations suites. A null breaks only the contract that no value is missing."""

from __future__ import annotations

import pandas as pd
from great_expectations import expectations as gxe

from stages import tables
from stages.corpus.contracts.checks import CAVEAT, CONTRACT
from stages.corpus.contracts.relations import MAY_BE_NULL, PARTS
from stages.params import Crop, Validate

SAFE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
SHA256 = r"^[0-9a-f]{64}$"
Suite = list[gxe.Expectation]


def sources() -> Suite:
    """Every row of sources.parquet."""
    return [
        *_key("item_id"),
        _whole(MAY_BE_NULL.sources),
        *_labels(),
        _one_of("status is ok or failed", "status", ["ok", "failed"]),
        _true("an ok item has a path, a size and a checksum", "has_file"),
        _true("a sound in a file of its own has a checksum", "has_sum"),
        _true("a failed item has a reason", "has_reason"),
        _true("every item has a clip, or a row in quarantine that says why not", "accounted_for"),
        _matches("the checksums are SHA-256", "sha256", SHA256),
        _matches("the sounds' checksums are SHA-256", "audio_sha256", SHA256),
        _between("the part of the file that is meant begins at 0 or later", "start_s", 0),
        _true("it begins before it ends", "forward"),
        _true("a given face is x0 y0 x1 y1, with x0 < x1 and y0 < y1", "face_is_a_box"),
        _true("a given window has a width and a height", "window_is_a_box"),
        _between("a zoom is above 0", "zoom", 0, strict_min=True),
    ]


def clips(settings: Validate, crop: Crop) -> Suite:
    """Every row of clips.parquet."""
    fixed = {"fps": crop.fps, "width": crop.size, "height": crop.size, "audio_rate": crop.audio_rate}
    least, most = crop.min_seconds * crop.fps, crop.max_seconds * crop.fps
    length = f"length is {crop.min_seconds:g} to {crop.max_seconds:g} s"
    found = f"a face is found in at least {crop.min_detection_rate:.0%} of frames"
    gap = f"by the table, sound and picture end within {settings.max_av_gap_s:g} s of each other"
    count = f"there are at least {settings.min_clips} clips"
    return [
        *_key("clip_id"),
        _whole(MAY_BE_NULL.clips),
        *_labels(),
        *(_one_of(f"{key} is {value}", key, [value]) for key, value in fixed.items()),
        _between(length, "frames", least - 0.5, most + 0.5),
        _true("a clip begins before it ends", "forward"),
        _between("its place in the source is as long as its frames, to within one", "span_gap_s", 0, 1 / crop.fps),
        _between(gap, "av_gap_s", 0, settings.max_av_gap_s),
        _between(found, "detection_rate", crop.min_detection_rate, 1),
        _between(f"the face is at least {crop.min_face} px in the source", "face_px", crop.min_face),
        _matches("the checksum is a SHA-256", "sha256", SHA256),
        _true("it was cut from an item of sources that is ok", "from_item"),
        _one_of("it stands in the split exactly once", "times_in_split", [1]),
        gxe.ExpectTableRowCountToBeBetween(min_value=settings.min_clips, meta={CONTRACT: count}),
    ]


def styles(settings: Validate) -> Suite:
    """Every style group whose emotion is known (relations.style_counts)."""
    least = settings.min_clips_per_style
    return [_between(f"a style group has at least {least} clip{'s' * (least > 1)}", "clips", least)]


def quarantine() -> Suite:
    """Every row of quarantine.parquet."""
    return [
        _whole(MAY_BE_NULL.quarantine),
        *_labels(),
        _one_of("stage is ingest or crop", "stage", ["ingest", "crop"]),
        _true("it is about an item of sources", "of_item"),
    ]


def split() -> Suite:
    """Every row of split.parquet."""
    return [
        *_key("clip_id"),
        _whole(MAY_BE_NULL.split),
        *_labels(),
        _one_of(f"split is one of {', '.join(PARTS)}", "split", list(PARTS)),
        _true("it is a clip of clips.parquet", "is_clip"),
        _true("speaker, emotion and level are those of the clip", "labels_agree"),
        _true("the portrait is a clip of the same speaker", "portrait_is_theirs"),
        _true("the wrong sound is a clip's", "other_audio_is_clip"),
    ]


def parts_filled() -> Suite:
    """Training, validation and test (relations.part_counts)."""
    return [_between("there are clips to train on, others to validate on, and clips to test on", "clips", 1)]


def speakers_apart(speakers: pd.DataFrame, protocol: str) -> Suite:
    """Every speaker (relations.parts_of); the caveat says what cannot be promised of this corpus.

    Val may be lent by the speakers trained on, but only all of it: a val speaker of its own must stay apart.
    """
    alone, lent = [*PARTS, "test+judge"], "train+val"
    nobody = "nobody who is tested is trained on"
    if protocol == "mead_sentences":
        shared = "the protocol mead_sentences tests people who are trained on; what it keeps apart is sentences"
        return [_parted("everybody has a part", _any_parts(), shared)]
    if len(speakers) == 1:
        shared = "the corpus has one speaker, who is trained on and tested; what is kept apart is videos"
        return [_parted("everybody has a part", _any_parts(), shared)]
    in_val = speakers.loc[speakers["parts"].str.contains("val"), "parts"]
    if (in_val == lent).any() and not (in_val == "val").any():
        shared = "val is lent by speakers trained on, so its numbers say nothing of people who are new"
        return [_parted(nobody, [*alone, lent], shared)]
    return [_parted(f"{nobody}, nobody in val is either", alone)]


def videos_apart(protocol: str) -> Suite:
    """Every video, or sentence (relations.parts_of)."""
    sentences = protocol == "mead_sentences"
    what = "all views and pieces of a sentence" if sentences else "all pieces of a speaker's video"
    return [_parted(f"{what} are in one part of the split", list(PARTS))]


def _any_parts() -> list[str]:
    return ["+".join(part for i, part in enumerate(PARTS) if mask >> i & 1) for mask in range(1, 1 << len(PARTS))]


def _key(column: str) -> Suite:
    return [
        gxe.ExpectColumnValuesToBeUnique(column=column, meta={CONTRACT: f"{column} is unique"}),
        _matches(f"{column} is a safe file name", column, SAFE_NAME),
    ]


def _whole(may_be_null: tuple[str, ...]) -> gxe.Expectation:
    return _one_of(f"no value is missing, but for {', '.join(may_be_null)}", "missing", [""])


def _labels() -> Suite:
    emotions = list(tables.EMOTIONS)
    return [
        _one_of(f"emotion is null or one of {', '.join(emotions)}", "emotion", emotions),
        _between("level is null or 1 to 3", "level", 1, 3),
    ]


def _one_of(contract: str, column: str, values: list) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, meta={CONTRACT: contract})


def _true(contract: str, column: str) -> gxe.Expectation:
    return _one_of(contract, column, [True])


def _parted(contract: str, parts: list[str], caveat: str = "") -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column="parts", value_set=parts, meta={CONTRACT: contract, CAVEAT: caveat})


def _between(
    contract: str, column: str, low: float, high: float | None = None, strict_min: bool = False
) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, strict_min=strict_min, meta={CONTRACT: contract}
    )


def _matches(contract: str, column: str, pattern: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern, meta={CONTRACT: contract})
