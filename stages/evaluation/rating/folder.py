"""A folder to hand out: one page and its videos, that open from a disk or any web server and call nobody.

Blinded: a video's name says nothing, all are encoded alike, without metadata, and what they are stands in a key beside
the folder, which participants must not see.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages import pages
from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.evaluation.compare import videos
from stages.evaluation.scoring import FPS, squares
from stages.files import atomic_path, sha256, write_json

RATE = 16000  # Hz, of the videos' sound
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Film:
    """A video to show: its file, the name that it gets, and whether it is heard."""

    source: Path
    code: str
    sound: bool = True


def in_common(folders: Sequence[Path], clips: int) -> tuple[list[str], list[dict[str, Path]]]:
    """At most `clips` clip ids that all folders have, evenly over the sorted ids, and each folder's videos by clip id.

    Raises:
        ValueError: there is no such clip, or a folder cannot be read; it is named.
    """
    found = [videos(folder) for folder in folders]
    common = sorted(set.intersection(*map(set, found)))
    if not common:
        raise ValueError("no clip that all methods (and the references) have: videos must have the same names")
    places = np.linspace(0, len(common) - 1, min(clips, len(common))).round().astype(int)
    return [common[place] for place in places], found


def code_of(seed: int, name: str, clip_id: str, source: Path) -> str:
    """What a video is called in the folder; changed content gives another name, as browsers keep what they know."""
    text = f"{name}\n{clip_id}\n{sha256(source)}"
    return hashlib.blake2b(text.encode(), key=str(seed).encode(), digest_size=6).hexdigest()


def page_id(*content: Any) -> str:
    """A page's own name: a browser goes on with a page that it knows, so that other videos or another order are another
    page."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=4).hexdigest()


def check(out: Path, key: Path, inputs: Iterable[Path]) -> None:
    """May `out` be replaced? Only an earlier page may be lost, whose key is `key`.

    Raises:
        ValueError: says what `out` holds.
    """
    if out == Path.cwd():
        raise ValueError(f"{out} is the folder you are in; name another one for the page")
    if any(folder.resolve().is_relative_to(out) for folder in inputs):
        raise ValueError(f"{out} holds videos that are to be shown; name another folder for the page")
    if not out.exists():
        return
    held = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if held and not (held == {"index.html", "videos"} and key.is_file()):
        raise ValueError(f"{out} holds something else than such a page; name a new folder")


def write(out: Path, key: Path, about: Mapping, films: Iterable[Film], size: int, template: str, **shown: Any) -> None:
    """Write out/index.html and out/videos/, and `about` into `key`; the folder appears when it is whole.

    Args:
        size: px, edge of the videos. template: of the page, which gets `shown`.

    Raises:
        ValueError: a video cannot be read or has no sound; it is named.
    """
    with atomic_path(out) as folder:
        (folder / "videos").mkdir(parents=True)
        for film in films:
            _copy(film, folder / f"videos/{film.code}.mp4", size)
        page = pages.environment(HERE).get_template(template).render(**shown)
        (folder / "index.html").write_text(page, encoding="utf-8")
        write_json(about, key)
        shutil.rmtree(out, ignore_errors=True)


def _copy(film: Film, target: Path, size: int) -> None:
    try:
        frames = squares(decode.frames(film.source, FPS), size)
        sound = decode.read_audio(film.source, RATE)[: len(frames) * RATE // FPS] if film.sound else None
    except decode.MediaError as error:
        raise ValueError(f"{film.source} {error}") from error
    write_mp4(target, frames, FPS, *(() if sound is None else (sound, RATE)))
