"""A folder of the user's own videos, at any depth, with an optional table of who speaks in which emotion."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.local import examine, in_threads, is_sound, item_ids, list_files, text
from stages.params import Params
from stages.tables import EMOTIONS

LEVELS = (1, 2, 3)
LABELS = ("speaker", "emotion", "level")
MEAD_NAME = re.compile(
    rf"(?P<speaker>[MW]\d{{3}})_\w+?_(?P<emotion>{'|'.join(EMOTIONS)})_level(?P<level>[123])_\w+", re.ASCII
)


def items(params: Params, raw_dir: Path) -> Found:
    """Every video below ingest.folder, where it lies.

    A file that is no readable video becomes a row with status "failed" and its reason. A sound file (.wav, .m4a) of
    the same stem beside a video is that video's sound. Hidden files are ignored.

    The speaker is, in this order: what the metadata say; M030 where the name is like MEAD's
    ``M030_front_angry_level3_001`` (with emotion and level); the first sub-folder; the file's stem.

    Raises:
        SourceError: the folder is missing or empty, or the metadata are wrong; each wrong row is named.
    """
    folder = Path(params.ingest.folder)
    metadata = params.ingest.metadata
    files = [path for path in list_files(folder) if metadata is None or path != folder / metadata]
    stems = {path.with_suffix("") for path in files if not is_sound(path)}
    sounds = {path.with_suffix(""): path for path in files if is_sound(path)}
    videos = [path for path in files if not is_sound(path) or path.with_suffix("") not in stems]
    labels = _read_labels(folder, metadata, videos)
    ids = dict(zip(videos, item_ids([path.relative_to(folder) for path in videos]), strict=True))

    def take(path: Path) -> dict:
        origin = path.relative_to(folder)
        row = _guess(origin) | labels.get(origin, {}) | {"item_id": ids[path], "corpus": "folder"}
        sound = None if is_sound(path) else sounds.get(path.with_suffix(""))
        return row | {"origin": text(origin)} | examine(path, sound)

    return Found(in_threads(take, videos))


def _guess(origin: Path) -> dict:
    mead = MEAD_NAME.fullmatch(origin.stem)
    if mead:
        return {"speaker": mead["speaker"], "emotion": mead["emotion"], "level": int(mead["level"])}
    speaker = origin.parts[0] if len(origin.parts) > 1 else origin.stem
    return {"speaker": text(speaker), "emotion": None, "level": None}


def _read_labels(folder: Path, metadata: str | None, videos: list[Path]) -> dict[Path, dict]:
    """Labels by path below `folder`; the table names files by that path, or by name where it is the only one."""
    if metadata is None:
        return {}
    path = folder / metadata
    table = _read_table(path)
    origins = {video.relative_to(folder) for video in videos}
    by_name = {origin.name: origin for origin in origins}
    uses = Counter(origin.name for origin in origins)
    labels: dict[Path, dict] = {}
    problems = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        name = str(row["file"])
        origin = Path(name) if Path(name) in origins else by_name.get(name) if uses[name] == 1 else None
        label = {key: _given(row.get(key)) for key in LABELS}
        if origin is None:
            problems.append(f"row {number}: {uses[name] or 'no'} files {name!r} below {folder}")
        elif origin in labels:
            problems.append(f"row {number}: {name!r} is named twice")
        problems += [f"row {number} ({name!r}): {problem}" for problem in _label_problems(label)]
        if origin is not None:
            labels[origin] = {key: value for key, value in _typed(label).items() if value is not None}
    if problems:
        raise SourceError(f"{path}: " + "\n  ".join(["wrong rows:", *problems]))
    return labels


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise SourceError(f"ingest.metadata: {path} is missing; it belongs in ingest.folder")
    try:
        parquet = path.suffix == ".parquet"
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} is neither CSV (UTF-8) nor Parquet: {error}") from error
    unknown = set(table.columns) - {"file", *LABELS}
    if "file" not in table or unknown:
        raise SourceError(
            f"{path}: columns must be file, {', '.join(LABELS)}; got {', '.join(map(str, table.columns))}"
        )
    return table


def _given(value: object) -> object | None:
    return None if value is None or pd.isna(value) or str(value).strip() == "" else value


def _label_problems(label: dict) -> list[str]:
    problems = []
    if label["emotion"] is not None and label["emotion"] not in EMOTIONS:
        problems.append(f"emotion {label['emotion']!r} is not one of {', '.join(EMOTIONS)}")
    if label["level"] is not None and str(label["level"]) not in {form for n in LEVELS for form in (f"{n}", f"{n}.0")}:
        problems.append(f"level {label['level']!r} is not one of 1, 2, 3")
    return problems


def _typed(label: dict) -> dict:
    level = label["level"]
    known = str(level) in {form for n in LEVELS for form in (f"{n}", f"{n}.0")}
    speaker = None if label["speaker"] is None else str(label["speaker"]).strip()
    return {"speaker": speaker, "emotion": label["emotion"], "level": int(float(level)) if known else None}
