"""One attempt at one video, by yt-dlp as a library."""

from __future__ import annotations

import io
from collections.abc import Callable
from http.cookiejar import LoadError
from pathlib import Path

import imageio_ffmpeg
from yt_dlp import YoutubeDL
from yt_dlp.utils import YoutubeDLError

from stages.corpus.download.errors import Permanent, Stop, Transient, verdict
from stages.corpus.download.urls import UrlError, canonical, is_youtube
from stages.corpus.sources import SourceError
from stages.params import DownloadSettings

REDIRECTS = 5


def download(item: str, url: str, folder: Path, settings: DownloadSettings, cookies: str | None = None) -> Path:
    """Get the video at `url` (as :func:`urls.canonical` gives it) into `folder`; the file, named `item`.

    What an earlier attempt left is gone on with. yt-dlp gets no shell, no commands, no playlists, no file addresses.

    Raises:
        Permanent, Transient: it did not come.
        SourceError: the folder cannot be written to, or is full.
    """
    try:
        with _Client(_options(item, folder, settings, cookies)) as client:
            found = client.process_ie_result(_find(client, url), download=True)
    except Exception as error:  # extractors raise anything when a site changes, which must not harm other items
        raise verdict(error, folder, youtube=is_youtube(url)) from error
    files = [Path(part["filepath"]) for part in found.get("requested_downloads") or () if part.get("filepath")]
    if len(files) != 1 or files[0].parent != folder or not files[0].is_file():
        raise Transient("yt-dlp gave no file")
    return files[0]


def check_cookies(path: str | None) -> str | None:
    """The text of a cookies file.

    Raises:
        SourceError: there is none, or it is not in Netscape's format.
    """
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
        with YoutubeDL({"cookiefile": io.StringIO(text), "quiet": True, "logger": _Quiet()}) as client:
            _ = client.cookiejar
    except (OSError, UnicodeError, LoadError, YoutubeDLError) as error:
        raise SourceError(
            f"ingest.download.cookies: {path} is no cookies file in Netscape's format: {error}"
        ) from error
    return text


class _Quiet:
    """yt-dlp's output: what matters comes as an exception."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


class _Client(YoutubeDL):
    def build_request_director(self, handlers, preferences=None):
        """Only the handler, by the library requests, that knows http and https alone, redirects included."""
        return super().build_request_director([each for each in handlers if each.RH_KEY == "Requests"], preferences)


def _options(item: str, folder: Path, settings: DownloadSettings, cookies: str | None) -> dict:
    streams = f"[height<=?{settings.max_height}][protocol^=http]"
    return {
        "outtmpl": {"default": f"{item}.%(ext)s"},
        "paths": {"home": str(folder)},
        "format": f"bv*{streams}+ba[protocol^=http]/b{streams}",
        "merge_output_format": "mp4/mkv",
        "ffmpeg_location": imageio_ffmpeg.get_ffmpeg_exe(),
        "noplaylist": True,
        "overwrites": True,  # only what could not be used is downloaded again
        "ratelimit": settings.rate_limit,
        "socket_timeout": settings.timeout_s,
        "cookiefile": io.StringIO(cookies) if cookies else None,  # a copy: the user's file is not written to
        "progress_hooks": [_limits(settings)],
        "retries": 0,  # ours are bounded, and wait as the server asks
        "extractor_retries": 0,
        "fragment_retries": settings.attempts,
        "skip_unavailable_fragments": False,
        "fixup": "never",
        "cachedir": False,
        "quiet": True,
        "noprogress": True,
        "no_warnings": True,
        "logger": _Quiet(),
    }


def _find(client: YoutubeDL, url: str) -> dict:
    """What yt-dlp knows of the one video at an address; redirects of direct links are followed here, and checked."""
    if is_youtube(url):
        return client.extract_info(url, download=False, ie_key="Youtube", process=False)
    for _ in range(REDIRECTS):
        found = client.extract_info(url, download=False, ie_key="Generic", process=False)
        if found.get("_type", "video") == "video" and found.get("direct"):
            return found
        if found.get("_type") != "url":
            break
        try:
            _, url = canonical("redirected", found["url"])
        except UrlError as error:
            raise Permanent(f"is redirected: {error}") from error
    raise Permanent("is a web page, not a video file")


def _limits(settings: DownloadSettings) -> Callable[[dict], None]:
    def check(progress: dict) -> None:
        size = max(progress.get("total_bytes") or 0, progress.get("downloaded_bytes") or 0)
        if size > settings.max_mb * 1e6:
            raise Stop(Permanent(f"is larger than ingest.download.max_mb ({settings.max_mb:g} MB)"))
        if progress["status"] == "downloading" and (progress.get("elapsed") or 0) > settings.max_minutes * 60:
            raise Stop(Transient(f"took longer than ingest.download.max_minutes ({settings.max_minutes:g})"))

    return check
