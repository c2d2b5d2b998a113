"""The tables' schemas, checked on every write. Parquet, one row per item or clip, sorted, no timestamps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.files import atomic_path

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")

_ORIGIN = [("corpus", pa.string()), ("speaker", pa.string()), ("emotion", pa.string()), ("level", pa.int64())]

SOURCES = pa.schema(
    [
        ("item_id", pa.string()),  # unique, filesystem-safe
        *_ORIGIN,
        ("path", pa.string()),  # of the video, percent-encoded (files.quoted), absolute or from the root; or null
        ("audio_path", pa.string()),  # likewise of sound kept in a file of its own; else null
        ("origin", pa.string()),  # file name or address it came from, as given
        ("start_s", pa.float64()),  # the part of the file that the item is; null: from its beginning
        ("end_s", pa.float64()),  # null: to its end
        ("face", pa.list_(pa.float64())),  # x0 y0 x1 y1 of the face meant, shares of the picture; null: the largest
        ("window", pa.list_(pa.float64())),  # x y width height of a given crop, in heights of the picture; null: found
        ("zoom", pa.float64()),  # of the window that is found; null: 1
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("audio_sha256", pa.string()),  # of the file at audio_path
        ("status", pa.string()),  # ok | failed
        ("reason", pa.string()),
    ]
)

DEFECTS = pa.schema(
    [
        ("number", pa.int64()),  # 1, 2, ...
        ("file", pa.string()),  # the list or file that has the defect, below ingest.folder
        ("row", pa.int64()),  # its line, counted from 1; null where the file as a whole is meant
        ("item", pa.string()),  # the video, clip, speaker or group of files concerned; or null
        ("kind", pa.string()),  # defect | left out (nothing is wrong: the parameters say so)
        ("problem", pa.string()),
        ("consequence", pa.string()),  # what was done about it
    ]
)

CLIPS = pa.schema(
    [
        ("clip_id", pa.string()),  # unique, filesystem-safe
        *_ORIGIN,
        ("source_file", pa.string()),
        ("start_s", pa.float64()),  # in the source
        ("end_s", pa.float64()),
        ("frames", pa.int64()),
        ("fps", pa.float64()),
        ("width", pa.int64()),  # px
        ("height", pa.int64()),
        ("audio_rate", pa.int64()),  # Hz
        ("audio_s", pa.float64()),  # length of the sound
        ("window", pa.list_(pa.float64())),  # x y edge of what was cut out, px in the source; the first if it moves
        ("face_px", pa.float64()),  # median edge of the face box in the source
        ("detection_rate", pa.float64()),  # share of frames in which a face was found
        ("shard", pa.string()),  # name of the tar that holds <clip_id>.mp4 and <clip_id>.wav
        ("sha256", pa.string()),  # of the mp4
        ("status", pa.string()),  # ok
        ("reason", pa.string()),
    ]
)

QUARANTINE = pa.schema(
    [
        ("item_id", pa.string()),
        *_ORIGIN,
        ("source_file", pa.string()),
        ("start_s", pa.float64()),  # null where the whole item is rejected
        ("end_s", pa.float64()),
        ("stage", pa.string()),  # the stage that rejected it
        ("reason", pa.string()),
    ]
)

THUMBNAILS = pa.schema(
    [
        ("item_id", pa.string()),
        ("start_s", pa.float64()),  # as in quarantine.parquet
        ("reason", pa.string()),
        ("jpeg", pa.binary()),  # about 128 px of what was rejected; null where no frame can be decoded
    ]
)

SPLIT = pa.schema(
    [
        ("clip_id", pa.string()),
        ("speaker", pa.string()),
        ("emotion", pa.string()),
        ("level", pa.int64()),
        ("style", pa.string()),  # style group: speaker/emotion/level
        ("split", pa.string()),  # train | val | test | judge (test speakers' clips that only the judges may learn from)
        ("together", pa.string()),  # what it was filmed with: its video, or its MEAD sentence in all views
        (
            "portrait_clip_id",
            pa.string(),
        ),  # a clip of the same speaker's, if possible of another style, of another video
        ("other_audio_clip_id", pa.string()),  # a clip of another style group whose sound is wrong for this one
    ]
)


def write(frame: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    """Write `frame` as Parquet, in `schema`'s columns and types, sorted by its first column.

    Raises:
        ValueError: columns differ from the schema's, a value does not fit its type, or the first column repeats.
    """
    key = schema.names[0]
    missing, extra = set(schema.names) - set(frame.columns), set(frame.columns) - set(schema.names)
    if missing or extra:
        raise ValueError(f"{path}: missing columns {sorted(missing)}, unknown columns {sorted(extra)}")
    if schema not in (QUARANTINE, THUMBNAILS) and frame[key].duplicated().any():
        raise ValueError(f"{path}: {key} repeats: {sorted(frame[key][frame[key].duplicated()].unique())[:5]}")
    ordered = frame[schema.names].sort_values(list(schema.names[:1]), kind="stable")
    try:
        table = pa.Table.from_pandas(ordered, schema=schema, preserve_index=False, safe=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    with atomic_path(path) as tmp:
        pq.write_table(table.replace_schema_metadata(None), tmp, compression="zstd")


def from_rows(rows: list[dict], schema: pa.Schema) -> pd.DataFrame:
    """Rows as a frame with all of `schema`'s columns; keys that a row lacks become null."""
    return pa.Table.from_pylist(rows, schema=schema).to_pandas(types_mapper=_nullable)


def rows(frame: pd.DataFrame, schema: pa.Schema) -> list[dict]:
    """A table's rows as plain Python values, in `schema`'s columns; what is missing is None."""
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False).to_pylist()


def read(path: Path) -> pd.DataFrame:
    """Read a table; integers that may be null are nullable integers.

    Raises:
        FileNotFoundError: names the file and the command that makes it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: `dvc repro` makes it")
    return pq.read_table(path).to_pandas(types_mapper=_nullable)


def item_of(clip_ids: pd.Series) -> pd.Series:
    """The item that each clip was cut from; several pieces of one are named <item_id>_p01, _p02 and so on."""
    return clip_ids.str.replace(r"_p\d+$", "", regex=True)


def _nullable(kind: pa.DataType) -> object | None:
    return pd.Int64Dtype() if kind == pa.int64() else None
