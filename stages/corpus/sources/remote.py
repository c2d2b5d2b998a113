"""Videos that a list names by address: found among the user's files, or downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.corpus.download.fetch import fetch_all
from stages.corpus.download.store import Download
from stages.corpus.download.urls import UrlError, canonical
from stages.corpus.sources.local import examine, failed, in_threads, is_video
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


def get_all(videos: Sequence[Video], files: Iterable[Path], settings: DownloadSettings) -> dict[str, dict]:
    """Columns path, bytes, sha256, status, reason of each video, by name.

    A video that is among `files`, under its name, its YouTube id or another of its stems, is used from there; the
    others are downloaded. An address that cannot be downloaded from fails only a video that is not there.

    Raises:
        SourceError: the download folder cannot be used or is full.
    """
    by_stem = {path.stem: path for path in files if is_video(path)}
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
    rows |= dict(zip(here, in_threads(examine, list(here.values())) if here else [], strict=True))
    came = fetch_all(dict(wanted.values()), settings) if wanted else {}
    folder = Path(settings.folder)
    return rows | {name: _columns(came[item], folder) for name, (item, _) in wanted.items()}


def _columns(row: Download, folder: Path) -> dict:
    if row.status != "done":
        return failed(f"could not be downloaded ({row.kind}): {row.reason}")
    return {"path": quoted(folder / row.path), "bytes": row.bytes, "sha256": row.sha256, "status": "ok"}
