"""A folder of the user's own videos, at any depth, with an optional table of who speaks in which emotion."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from stages.corpus.decode import MediaError, probe
from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.local import (
    examine,
    in_threads,
    is_moving,
    is_sound,
    is_video,
    item_ids,
    list_files,
    text,
)
from stages.params import Params
from stages.tables import EMOTIONS

LEVELS = {form: level for level in (1, 2, 3) for form in (f"{level}", f"{level}.0")}
LABELS = ("speaker", "emotion", "level")
MEAD_NAME = re.compile(
    rf"(?P<speaker>[MW]\d{{3}})_\w+?_(?P<emotion>{'|'.join(EMOTIONS)})_level(?P<level>[123])_\w+", re.ASCII
)


def items(params: Params, raw_dir: Path) -> Found:
    """Every video below ingest.folder, where it lies.

    A video is what has a video's suffix or, whatever its name, moves. One that cannot be read becomes a row with
    status "failed" and its reason; other files are left out, with a remark for each suffix. A sound file (.wav, or
    else .m4a) of the same stem beside a video is that video's sound. Hidden files are ignored.

    The speaker is, in this order: what the metadata say; M030 where the name is like MEAD's
    ``M030_front_angry_level3_001`` (with emotion and level); the first sub-folder; the file's stem.

    Raises:
        SourceError: the folder is missing or empty, or the metadata are wrong; each wrong row is named.
    """
    folder = Path(params.ingest.folder)
    metadata = params.ingest.metadata
    files = [path for path in list_files(folder) if metadata is None or path != folder / metadata]
    found = Found()
    videos = _videos(files)
    sounds = _sounds(found, folder, files, videos)
    _leave_out(found, folder, files, videos)
    labels = _read_labels(folder, metadata, videos)
    ids = dict(zip(videos, item_ids([path.relative_to(folder) for path in videos]), strict=True))

    def take(path: Path) -> dict:
        origin = path.relative_to(folder)
        row = named_labels(origin) | labels.get(origin, {}) | {"item_id": ids[path], "corpus": "folder"}
        return row | {"origin": text(origin)} | examine(path, sounds.get(path), params.ingest.max_pair_gap_s)

    found.items = in_threads(take, videos)
    return found


def _videos(files: list[Path]) -> list[Path]:
    """What is one by its name, or by its content; in order."""
    unknown = [path for path in files if not is_video(path) and not is_sound(path)]
    moving = dict(zip(unknown, in_threads(is_moving, unknown), strict=True)) if unknown else {}
    return [path for path in files if is_video(path) or moving.get(path)]


def _sounds(found: Found, folder: Path, files: list[Path], videos: list[Path]) -> dict[Path, Path]:
    """The sound file of each video that has one beside it; says what is not heard because of it."""
    stems = {path.with_suffix("") for path in videos}
    beside = [path for path in files if is_sound(path) and path.with_suffix("") in stems]
    used = {path.with_suffix(""): path for path in sorted(beside, key=lambda path: path.suffix.lower() == ".wav")}
    for path in beside:
        chosen = used[path.with_suffix("")]
        if path != chosen:
            found.defect(_below(path, folder), "is a second sound of its video", f"{text(chosen.name)!r} is used")
    sounds = {path: used[path.with_suffix("")] for path in videos if path.with_suffix("") in used}
    silent = in_threads(_is_silent, list(sounds)) if sounds else []
    replaced = [path for path, without in zip(sounds, silent, strict=True) if not without]
    if replaced:
        problem = f"{len(replaced)} with a sound file beside the video have sound of their own, this one first"
        found.left_out(_below(replaced[0], folder), problem, "the sound file beside it is used")
    return sounds


def _is_silent(path: Path) -> bool:
    try:
        return not probe(path).has_audio
    except (MediaError, OSError):
        return True  # examine says what is wrong


def _leave_out(found: Found, folder: Path, files: list[Path], videos: list[Path]) -> None:
    """A remark for each suffix of files that are neither a video nor the sound of one."""
    known, stems = set(videos), {path.with_suffix("") for path in videos}
    by_suffix = defaultdict(list)
    for path in files:
        if path not in known and not (is_sound(path) and path.with_suffix("") in stems):
            by_suffix[path.suffix.lower()].append(path)
    for suffix, paths in by_suffix.items():
        kind = f"with suffix {text(suffix)}" if suffix else "without suffix"
        why = "not used: sound of no video" if is_sound(paths[0]) else "not used: no videos"
        found.left_out(_below(paths[0], folder), f"files {kind}: {len(paths)}, this one first", why)


def _below(path: Path, folder: Path) -> str:
    return text(path.relative_to(folder))


def named_labels(origin: Path) -> dict:
    """Speaker, emotion and level that a path below the corpus' folder tells: by a MEAD-like name, else the speaker
    alone, the first sub-folder or the file itself."""
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
    origins = {video.relative_to(folder) for video in videos}
    by_name = {origin.name: origin for origin in origins}
    uses = Counter(origin.name for origin in origins)
    labels: dict[Path, dict] = {}
    problems = []
    for place, row in _read_table(path):
        if _given(row.get("file")) is None:
            problems.append(f"{place}: names no file")
            continue
        name = str(row["file"])
        origin = Path(name) if Path(name) in origins else by_name.get(name) if uses[name] == 1 else None
        label = {key: _given(row.get(key)) for key in LABELS}
        if origin is None:
            problems.append(f"{place}: {uses[name] or 'no'} files {name!r} below {folder}")
        elif origin in labels:
            problems.append(f"{place}: {name!r} is named twice")
        problems += [f"{place} ({name!r}): {problem}" for problem in _label_problems(label)]
        if origin is not None:
            labels[origin] = {key: value for key, value in _typed(label).items() if value is not None}
    if problems:
        raise SourceError(f"{path}: " + "\n  ".join(["wrong rows:", *problems]))
    return labels


def _read_table(path: Path) -> list[tuple[str, dict]]:
    """Rows by column, with where they stand: the file's line, as an editor counts, or Parquet's row, from 1."""
    if not path.is_file():
        raise SourceError(f"ingest.metadata: {path} is missing; it belongs in ingest.folder")
    try:
        columns, rows = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (ValueError, OSError, csv.Error) as error:
        raise SourceError(f"{path} is neither CSV (UTF-8) nor Parquet: {error}") from error
    if "file" not in columns or set(columns) - {"file", *LABELS} or len(set(columns)) < len(columns):
        raise SourceError(f"{path}: columns must be file, {', '.join(LABELS)}; got {', '.join(map(str, columns))}")
    wide = [place for place, values in rows if len(values) > len(columns)]
    if wide:
        raise SourceError(
            f"{path}: {', '.join(wide)}: more values than the {len(columns)} columns of the first line; "
            "a name with a comma in it stands in double quotes"
        )
    return [(place, dict(zip(columns, values, strict=False))) for place, values in rows]


def _read_csv(path: Path) -> tuple[list[str], list[tuple[str, list]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        columns = [name.strip() for name in next(lines, [])]
        return columns, [(f"line {lines.line_num}", values) for values in lines if any(values)]


def _read_parquet(path: Path) -> tuple[list[str], list[tuple[str, list]]]:
    table = pd.read_parquet(path)
    rows = table.itertuples(index=False, name=None)
    return list(table.columns), [(f"row {number}", list(values)) for number, values in enumerate(rows, start=1)]


def _given(value: object) -> str | None:
    return None if value is None or pd.isna(value) else str(value).strip() or None


def _label_problems(label: dict) -> list[str]:
    problems = []
    if label["emotion"] is not None and label["emotion"] not in EMOTIONS:
        problems.append(f"emotion {label['emotion']!r} is not one of {', '.join(EMOTIONS)}")
    if label["level"] is not None and label["level"] not in LEVELS:
        problems.append(f"level {label['level']!r} is not one of 1, 2, 3")
    return problems


def _typed(label: dict) -> dict:
    return {**label, "level": LEVELS.get(label["level"])}
