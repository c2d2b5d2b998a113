"""A folder of the user's own videos, at any depth, with an optional table of who speaks in which emotion."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from stages.corpus.decode import MediaError, probe
from stages.corpus.sources import SourceError
from stages.files import quoted, sha256
from stages.params import Params
from stages.progress import track
from stages.shards import workers
from stages.tables import EMOTIONS

SOUND_SUFFIXES = (".wav", ".m4a")
LEVELS = (1, 2, 3)
LABELS = ("speaker", "emotion", "level")
MEAD_NAME = re.compile(
    rf"(?P<speaker>[MW]\d{{3}})_\w+?_(?P<emotion>{'|'.join(EMOTIONS)})_level(?P<level>[123])_\w+", re.ASCII
)
LONGEST_ID = 80
PIECE = re.compile(r"_p\d+$")


def items(params: Params, raw_dir: Path) -> list[dict]:
    """Every video below ingest.folder, where it lies; rows of tables.SOURCES.

    A file that is no readable video becomes a row with status "failed" and its reason. A sound file (.wav, .m4a) of
    the same stem beside a video is that video's sound. Hidden files are ignored.

    The speaker is, in this order: what the metadata say; M030 where the name is like MEAD's
    ``M030_front_angry_level3_001`` (with emotion and level); the first sub-folder; the file's stem.

    Raises:
        SourceError: the folder is missing or empty, or the metadata are wrong; each wrong row is named.
    """
    folder = Path(params.ingest.folder)
    files = _files(folder, params.ingest.metadata)
    sounds = {path.with_suffix(""): path for path in files if path.suffix.lower() in SOUND_SUFFIXES}
    stems = {path.with_suffix("") for path in files if path.suffix.lower() not in SOUND_SUFFIXES}
    videos = [path for path in files if path not in sounds.values() or path.with_suffix("") not in stems]
    labels = _read_labels(folder, params.ingest.metadata, videos)
    ids = _item_ids([path.relative_to(folder) for path in videos])

    def take(path: Path, item_id: str) -> dict:
        origin = path.relative_to(folder)
        row = _guess(origin) | labels.get(origin, {})
        row |= {"item_id": item_id, "corpus": "folder", "origin": _text(origin), "bytes": path.stat().st_size}
        sound = sounds.get(path.with_suffix(""))
        return row | _examine(path, sound if sound != path else None)

    with ThreadPoolExecutor(workers()) as pool:
        return list(track(pool.map(take, videos, ids), "ingest", total=len(videos), unit="file"))


def _files(folder: Path, metadata: str | None) -> list[Path]:
    hint = "put videos there (any depth), or set ingest.folder in params.yaml to where yours are"
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: {hint}")
    table = folder / metadata if metadata else None
    found = [path for path in folder.rglob("*") if path.is_file() and path != table]
    files = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not files:
        raise SourceError(f"{folder} has no files: {hint}")
    return sorted(files, key=os.fsencode)


def _examine(path: Path, sound: Path | None) -> dict:
    """Whether a video can be read, and what identifies it and its sound; both stay where they are."""
    try:
        probe(path)
        found = {"path": quoted(path), "sha256": sha256(path), "status": "ok"}
        return found | ({"audio_path": quoted(sound), "audio_sha256": sha256(sound)} if sound else {})
    except (MediaError, OSError) as error:
        return {"status": "failed", "reason": str(error)}


def _guess(origin: Path) -> dict:
    mead = MEAD_NAME.fullmatch(origin.stem)
    if mead:
        return {"speaker": mead["speaker"], "emotion": mead["emotion"], "level": int(mead["level"])}
    speaker = origin.parts[0] if len(origin.parts) > 1 else origin.stem
    return {"speaker": _text(Path(speaker)), "emotion": None, "level": None}


def _item_ids(origins: list[Path]) -> list[str]:
    """Names of [A-Za-z0-9_-], told apart without case; a short hash of the path where the name had to change.

    None ends as the pieces of a video that is cut do (_p01).
    """
    plain = ["_".join(origin.with_suffix("").parts) for origin in origins]
    slugs = [re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:LONGEST_ID] for name in plain]
    uses = Counter(slug.lower() for slug in slugs)
    return [
        slug
        if slug == name and uses[slug.lower()] == 1 and not PIECE.search(slug)
        else f"{slug or 'video'}_{_short_hash(origin)}"
        for slug, name, origin in zip(slugs, plain, origins, strict=True)
    ]


def _short_hash(origin: Path) -> str:
    return hashlib.sha256(os.fsencode(origin)).hexdigest()[:8]


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


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
