"""Videos that a list names by address: found among the user's files, or downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.corpus.download.fetch import fetch_all
from stages.corpus.download.store import Download
from stages.corpus.download.urls import UrlError, canonical
from stages.corpus.sources import Found
from stages.corpus.sources.local import examine, failed, in_threads, is_video, text
from stages.files import quoted
from stages.params import DownloadSettings


@dataclass(frozen=True)
class Video:
    """One that a list names.

    Attributes:
        name: unique in the list.
        url: its address as listed; None where the list has none.
        stems: names, without suffix, that people give its file.
    """

    name: str
    url: str | None
    stems: tuple[str, ...] = ()


def get_all(
    found: Found, folder: Path, videos: Sequence[Video], files: Iterable[Path], settings: DownloadSettings
) -> dict[str, dict]:
    """Columns path, bytes, sha256, status, reason of each video, by name.

    A video that is among `files` (all those below `folder`), under its name, its YouTube id or another of its stems, is
    used from there; the others are downloaded. An address that cannot be downloaded from fails only a video that is not
    there. How many of the user's videos are not used is noted in `found`.

    Raises:
        SourceError: the download folder cannot be used or is full.
    """
    mine = [path for path in files if is_video(path)]
    by_stem = {path.stem: path for path in mine}
    here, wanted, rows = {}, {}, {}
    for video in videos:
        try:
            item, url = canonical(video.name, video.url or "")
        except UrlError as error:
            item, url = video.name, None
            rows[video.name] = failed(str(error) if video.url else "has no address, and no file below ingest.folder")
        path = next((by_stem[stem] for stem in (video.name, *video.stems, item) if stem in by_stem), None)
        if path:
            here[video.name] = path
        elif url:
            wanted[video.name] = item, url
    _report_strangers(found, folder, sorted(set(mine) - set(here.values())))
    rows |= dict(zip(here, in_threads(examine, list(here.values())) if here else [], strict=True))
    came = fetch_all(dict(wanted.values()), settings) if wanted else {}
    downloads = Path(settings.folder)
    return rows | {name: _columns(came[item], downloads) for name, (item, _) in wanted.items()}


def _report_strangers(found: Found, folder: Path, paths: list[Path]) -> None:
    if paths:
        problem = f"{len(paths)} videos are named as none in the lists or are there twice, this one first"
        found.left_out(text(paths[0].relative_to(folder)), problem, "not used: a name is the list's, or a YouTube id")


def _columns(row: Download, folder: Path) -> dict:
    if row.status != "done":
        kind = f" ({row.kind})" if row.kind else ""
        return failed(f"could not be downloaded{kind}: {row.reason}")
    return {"path": quoted(folder / row.path), "bytes": row.bytes, "sha256": row.sha256, "status": "ok"}
