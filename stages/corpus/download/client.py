"""One attempt at one video, by yt-dlp as a library; its many errors as two classes: permanent and transient."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import LoadError
from pathlib import Path

import imageio_ffmpeg
from yt_dlp import YoutubeDL
from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError
from yt_dlp.utils import DownloadCancelled, ExtractorError, YoutubeDLError

from stages.corpus.download.urls import UrlError, canonical, is_youtube
from stages.corpus.sources import SourceError
from stages.params import DownloadSettings

REDIRECTS = 5
PERMANENT_STATUS = {400, 401, 402, 403, 404, 405, 406, 409, 410, 414, 415, 451}
PASSING = re.compile(  # what sites say when they will not answer now
    r"not a bot|try again later|rate.?limit|too many requests|temporar|captcha|timed? ?out"
    r"|requested format is not available|failed to extract any player response",
    re.IGNORECASE,
)
REMEDIES = {
    "not a bot": " (YouTube wants ingest.download.cookies, or a pause of hours)",
    "Requested format is not available": " (for YouTube, yt-dlp needs the JavaScript runtime deno and yt-dlp-ejs)",
}
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
DISK_TEXT = re.compile(r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE)
ADVICE = re.compile(
    r"\s*(?:;?\s*please report this issue on|\(caused by|See +https?://|Use --).*", re.IGNORECASE | re.DOTALL
)
NOISE = re.compile(r"^(?:ERROR: )?(?:\[[\w:+-]+\] )?(?:Got error: |[\w-]{11}: )?(?:unable to download video data: )?")
LONGEST_REASON = 300


class Failure(Exception):
    """A video did not come; the text says why, in one line."""


class Permanent(Failure):
    """It will not come next time either."""


class Transient(Failure):
    """It may come later.

    Attributes:
        retry_after_s: seconds that the server asks to wait; 0 if it does not say.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Stop(DownloadCancelled):
    """Raised in the middle of a download."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


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
    except (YoutubeDLError, OSError, Failure) as error:
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


def verdict(error: BaseException, folder: Path, *, youtube: bool) -> Exception:
    """What an error of yt-dlp means: Permanent, Transient, or SourceError where nothing more can be stored."""
    causes = list(_chain(error))
    reason = _reason(error)
    for cause in causes:
        if isinstance(cause, _Stop):
            return cause.failure
        if isinstance(cause, Failure):
            return cause
        if isinstance(cause, OSError) and (cause.errno in DISK or cause.filename is not None):
            return unwritable(folder, cause)
    if DISK_TEXT.search(reason):
        return unwritable(folder, reason)
    for cause in causes:
        if isinstance(cause, HTTPError):
            return _http(cause, youtube)
    if PASSING.search(reason):
        return Transient(reason)
    if any(isinstance(cause, TransportError) for cause in causes):
        return Transient(reason)
    if any(isinstance(cause, RequestError) for cause in causes):  # an address that no handler takes
        return Permanent(reason)
    expected = any(isinstance(cause, ExtractorError) and cause.expected for cause in causes)
    return Permanent(reason) if expected else Transient(reason)


class _Quiet:
    """yt-dlp's output: what matters comes as an exception."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


class _Client(YoutubeDL):
    def build_request_director(self, handlers, preferences=None):
        """Only the handler that knows http and https alone, redirects included."""
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


def _limits(settings: DownloadSettings):
    def check(progress: dict) -> None:
        size = max(progress.get("total_bytes") or 0, progress.get("downloaded_bytes") or 0)
        if size > settings.max_mb * 1e6:
            raise _Stop(Permanent(f"is larger than ingest.download.max_mb ({settings.max_mb:g} MB)"))
        if progress["status"] == "downloading" and (progress.get("elapsed") or 0) > settings.max_minutes * 60:
            raise _Stop(Transient(f"took longer than ingest.download.max_minutes ({settings.max_minutes:g})"))

    return check


def _http(error: HTTPError, youtube: bool) -> Failure:
    said = f"HTTP {error.status} {error.reason or ''}".strip()
    if error.redirect_loop:
        return Permanent(f"{said} (redirected in a circle)")
    if error.status in PERMANENT_STATUS and not (youtube and error.status == 403):
        return Permanent(said)
    if youtube and error.status in (403, 429):
        said += ": YouTube blocks this address for a while, or wants ingest.download.cookies"
    return Transient(said, _retry_after(error.response.headers.get("Retry-After")))


def _retry_after(value: str | None) -> float:
    """Seconds of a Retry-After header, which holds seconds or a date."""
    if not value:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def unwritable(folder: Path, problem: object) -> SourceError:
    """What ends a run: nothing more can be stored."""
    return SourceError(
        f"cannot write to {folder}: {getattr(problem, 'strerror', None) or problem}; "
        "make room or set ingest.download.folder, then run again: what has come is kept"
    )


def _reason(error: BaseException) -> str:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    text = NOISE.sub("", ADVICE.sub("", text))[:LONGEST_REASON]
    advice = next((advice for sign, advice in REMEDIES.items() if sign in text), "")
    return text + advice or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it came from."""
    todo, seen = [error], set()
    while todo:
        cause = todo.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            inner = getattr(cause, "exc_info", None) or (None, None)
            todo += [inner[1], getattr(cause, "cause", None), cause.__cause__, cause.__context__]
