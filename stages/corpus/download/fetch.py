"""All the videos that are wanted: one after the other, with pauses, retries, a lock, and a status that is kept."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from yt_dlp.utils import expand_path

from stages.corpus.decode import MediaError, probe
from stages.corpus.download.client import check_cookies, download
from stages.corpus.download.errors import NoHost, Permanent, Transient, unwritable
from stages.corpus.download.store import NAME, Download, Store
from stages.corpus.sources import SourceError
from stages.corpus.sources.local import is_video
from stages.files import locked, sha256
from stages.params import DownloadSettings
from stages.progress import track

OFF = "ingest.download.enabled is false: put it below ingest.folder as '{}.mp4' or the like, or set that to true"


def fetch_all(wanted: Mapping[str, str], settings: DownloadSettings) -> dict[str, Download]:
    """Get every address of `wanted` (id -> address, as :func:`urls.canonical` gives them) that is not here yet.

    A failure that may pass is tried a few times with growing pauses, and again in the next run; one that will not pass
    is tried once and remembered. After ingest.download.stop_after failures in a row that may pass, the site or the
    network is taken to be closed to us and the rest is left for the next run; so are, at once, the videos of a host
    that cannot be looked up before anything has come. Nothing is asked for unless ingest.download.enabled.

    Returns:
        A row each, by id: done, or failed with its class and reason.

    Raises:
        SourceError: the folder cannot be used or is full, or the cookies file is wrong.
    """
    cookies, folder = check_cookies(settings.cookies), _prepared(settings.folder)
    with (
        _disk_errors(folder),
        locked(folder / ".lock", f"download: another run downloads into {folder}; waiting for it to end"),
        contextlib.closing(Store(folder)) as store,
    ):
        here = {path.stem: path for path in folder.iterdir() if is_video(path)}  # whole files: parts have two suffixes
        rows = {item: _settled(store, folder, item, url, here.get(item)) for item, url in wanted.items()}
        todo = [item for item, row in rows.items() if row is None]
        if not settings.enabled:
            off = {item: Download(item, wanted[item], "failed", reason=OFF.format(item)) for item in todo}
            return rows | off
        in_a_row, last, came, unknown = 0, "", False, set()
        for place, item in enumerate(track(todo, "download", unit="video") if todo else ()):
            no_host = str(NoHost(urlsplit(wanted[item]).hostname))
            why = no_host if no_host in unknown else None
            if in_a_row >= settings.stop_after:
                why = f"not tried: {in_a_row} downloads in a row failed ({last})"
            if why:
                rows[item] = Download(item, wanted[item], "failed", kind="transient", reason=why)
                continue
            if place:
                sleep(settings.pause_s)
            rows[item] = row = _fetch(store, folder, item, wanted[item], settings, cookies, online=came)
            came = came or row.status == "done"
            if not came and row.reason == no_host:
                unknown.add(no_host)
            in_a_row = in_a_row + 1 if row.kind == "transient" else 0
            last = row.reason or last
            store.put(row)
    return rows


def _fetch(
    store: Store, folder: Path, item: str, url: str, settings: DownloadSettings, cookies: str | None, *, online: bool
) -> Download:
    """Attempts at one item, until it is here, cannot be had, or has failed often enough for this run.

    Args:
        online: a download of this run has come, so that a host without an address may be a passing fault.
    """
    row = store.get(item)
    if row is None or row.url != url:  # what lies here, if anything, is of another video
        _remove(folder, item, row and row.path)
        row = Download(item, url, "started")

    def attempt() -> Path:
        nonlocal row
        row = Download(item, url, "started", row.attempts + 1)
        store.put(row)
        return download(item, url, folder, settings, cookies)

    retrying = Retrying(
        stop=stop_after_attempt(settings.attempts),
        retry=retry_if_exception(lambda error: _worth_waiting(error, settings, online)),
        wait=lambda state: _wait(state, settings),
        before_sleep=lambda state: _say(item, state),
        sleep=sleep,
        reraise=True,
    )
    path = None
    try:
        path = retrying(attempt)
        return _done(row, path)
    except Transient as failure:
        return replace(row, status="failed", kind="transient", reason=str(failure))
    except Permanent as failure:
        _remove(folder, item, path and path.name)
        return replace(row, status="failed", kind="permanent", reason=str(failure))


def _remove(folder: Path, item: str, whole: str | None) -> None:
    """Take away an item's parts, and the file that they became. Whatever else lies here is not ours."""
    for path in folder.glob(f"{item}.*"):
        if path.stem != item or path.name == whole:
            path.unlink()


def _settled(store: Store, folder: Path, item: str, url: str, here: Path | None) -> Download | None:
    """The row of what needs no download: it is here already, whoever put it here, or will not come."""
    row = store.get(item)
    if row is not None and row.url != url:
        return None
    if row is not None and row.status == "done" and _size(folder / row.path) == row.bytes:
        return row
    if here is not None:
        with contextlib.suppress(Permanent):
            found = _done(row or Download(item, url, "started"), here)
            store.put(found)
            return found
    return row if row is not None and row.kind == "permanent" else None


def _done(row: Download, path: Path) -> Download:
    """The row of a file that has come.

    Raises:
        Permanent: it is not a video.
    """
    try:
        probe(path)
    except MediaError as error:
        raise Permanent(f"what came is not a video: it {error}") from error
    facts = {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    return replace(row, status="done", kind=None, reason=None, **facts)


def _worth_waiting(error: BaseException, settings: DownloadSettings, online: bool) -> bool:
    if isinstance(error, NoHost) and not online:
        return False
    return isinstance(error, Transient) and error.retry_after_s <= settings.max_backoff_s


def _wait(state: RetryCallState, settings: DownloadSettings) -> float:
    growing = min(settings.backoff_s * 2 ** (state.attempt_number - 1), settings.max_backoff_s)
    return max(growing, state.outcome.exception().retry_after_s)


def _say(item: str, state: RetryCallState) -> None:
    print(f"download: {item}: {state.outcome.exception()}; again in {state.next_action.sleep:.0f} s", flush=True)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _prepared(name: str) -> Path:
    """The download folder.

    Raises:
        SourceError: it cannot be made, or has a name that yt-dlp would change.
    """
    folder = Path(name).absolute()
    if expand_path(str(folder)).strip() != str(folder):
        raise SourceError(f"ingest.download.folder {name!r}: its path must not have $, ~ or blanks at its ends")
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """What stops all downloads as one clear line."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from error
    except sqlite3.Error as error:
        raise unwritable(folder, f"{NAME}: {error}") from error
