"""What sources that read files share: listing them, safe ids, and whether a video can be used, with its sound."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av

from stages.corpus.decode import MediaError, opened, probe
from stages.corpus.sources import SourceError
from stages.files import quoted, sha256
from stages.progress import track
from stages.shards import workers

SOUND_SUFFIXES = (".wav", ".m4a")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".flv", ".ts", ".mpg", ".mpeg", ".wmv", ".3gp")
NOT_ONE_TAKE = "not of one take"
LONGEST_ID = 80
NO_FILM = re.compile(r".*_pipe|image2|gif|apng|ico|tty")  # FFmpeg's names of formats of pictures and of text
PIECE = re.compile(r"_p\d+$")

Item = TypeVar("Item")
Result = TypeVar("Result")


def list_files(folder: Path, hint: str = "put videos there (any depth)") -> list[Path]:
    """All files below `folder`, sorted by their bytes; hidden ones are ignored.

    Links are followed, into each folder once. Whatever else is named as video or sound is (a link to nothing, a pipe,
    an empty folder) is among them, for :func:`examine` to say why it cannot be used.

    Raises:
        SourceError: it is no folder, has no files, or has a folder that cannot be read; but for the last the text ends
            with `hint`.
    """
    hint += ", or set ingest.folder in params.yaml to where yours are"
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: {hint}")
    files, seen = [], {os.path.realpath(folder)}
    try:
        for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
            inner = sorted(name for name in folders if not name.startswith("."))
            folders[:] = [name for name in inner if _is_new(os.path.realpath(Path(parent, name)), seen)]
            files += [path for name in names if not name.startswith(".") and _is_listed(path := Path(parent, name))]
            if is_video(Path(parent)) and not folders and not names and Path(parent) != folder:
                files.append(Path(parent))
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}): permit it, or move it away") from error
    if not files:
        raise SourceError(f"{folder} has no files: {hint}")
    return sorted(files, key=os.fsencode)


def _raise(error: OSError) -> None:
    raise error


def _is_new(name: str, seen: set[str]) -> bool:
    new = name not in seen
    seen.add(name)
    return new


def _is_listed(path: Path) -> bool:
    return path.is_file() or is_video(path) or is_sound(path)


def is_sound(path: Path) -> bool:
    return path.suffix.lower() in SOUND_SUFFIXES


def is_video(path: Path) -> bool:
    """By its name: what lies beside a video under the same name (a picture, coefficients, notes) is none."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_moving(path: Path) -> bool:
    """By its content: a video of at least two frames, which pictures, animated ones too, are not."""
    try:
        with opened(path) as container:
            if NO_FILM.fullmatch(container.format.name):
                return False
            films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            return bool(films) and len(list(islice(container.decode(films[0]), 2))) == 2
    except (MediaError, OSError):
        return False


def text(path: Path | str) -> str:
    """A path or name as text that can be shown and stored, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "replace")


def item_ids(origins: Sequence[Path]) -> list[str]:
    """Names of [A-Za-z0-9_-], told apart without case; a short hash of the path where the name had to change.

    None ends as the pieces of a video that is cut do (_p01).
    """
    plain = ["_".join(origin.with_suffix("").parts) for origin in origins]
    slugs = [re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:LONGEST_ID] for name in plain]
    uses = Counter(slug.lower() for slug in slugs)
    return [
        slug
        if slug == name and uses[slug.lower()] == 1 and not PIECE.search(slug)
        else f"{slug or 'video'}_{hashlib.sha256(os.fsencode(origin)).hexdigest()[:8]}"
        for slug, name, origin in zip(slugs, plain, origins, strict=True)
    ]


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], unit: str = "file") -> list[Result]:
    """``function`` of each item, in order; reading and hashing files is what takes the time."""
    with ThreadPoolExecutor(workers()) as pool:
        return list(track(pool.map(function, items), "ingest", total=len(items), unit=unit))


def examine(path: Path, sound: Path | None = None, max_gap_s: float = math.inf) -> dict:
    """Columns path, bytes, sha256, audio_path, audio_sha256, status, reason of a video and of its sound.

    Args:
        sound: file that holds the video's sound; None: the video holds it.
        max_gap_s: seconds that their lengths may differ by, else they are not of one take.
    """
    try:
        _check_file(path)
        found = {"bytes": path.stat().st_size}
        seconds = probe(path).seconds
        if sound:
            _compare(seconds or _declared_seconds(path), sound, max_gap_s)
        found |= {"path": quoted(path), "sha256": sha256(path)}
        if sound:
            found |= {"audio_path": quoted(sound), "audio_sha256": sha256(sound)}
        return found | {"status": "ok"}
    except (MediaError, OSError) as error:
        return failed(_reason(error))


def failed(reason: str) -> dict:
    """Columns of an item that cannot be used."""
    return {"status": "failed", "reason": reason}


def first_of_each(items: Iterable[tuple[str, Item]]) -> tuple[dict[str, Item], list[tuple[str, Item]]]:
    """(key, value) pairs as a mapping, and the pairs whose key was there already."""
    firsts: dict[str, Item] = {}
    repeats = []
    for key, value in items:
        if key in firsts:
            repeats.append((key, value))
        else:
            firsts[key] = value
    return firsts, repeats


def _check_file(path: Path) -> None:
    """Raise MediaError where there is nothing to read: opening a pipe would wait for ever."""
    if path.is_symlink() and not path.exists():
        raise MediaError(f"is a link to nothing ({text(path.readlink())!r})")
    if path.is_dir():
        raise MediaError("is a folder, not a file")
    if not path.is_file():
        raise MediaError("is a pipe, a socket or a device, not a file")


def _compare(video_s: float, sound: Path, max_gap_s: float) -> None:
    try:
        _check_file(sound)
        sound_s = _declared_seconds(sound)
    except (MediaError, OSError) as error:
        raise MediaError(f"has its sound in {text(sound.name)!r}, which {_reason(error)}") from error
    if abs(video_s - sound_s) > max_gap_s:
        raise MediaError(
            f"lasts {video_s:.2f} s, the sound that belongs to it by its name ({text(sound.name)!r}) {sound_s:.2f} s: "
            f"{NOT_ONE_TAKE} (ingest.max_pair_gap_s: {max_gap_s:g})"
        )


def _declared_seconds(path: Path) -> float:
    """Length that a file declares."""
    with opened(path) as container:
        if not container.duration:
            raise MediaError("does not say how long it is")
        return container.duration / av.time_base


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, MediaError) else f"cannot be read: {getattr(error, 'strerror', error)}"
