"""yt-dlp's many errors as two classes of failure, permanent and transient, and one that ends the run."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError
from yt_dlp.utils import DownloadCancelled, ExtractorError, YoutubeDLError

from stages.corpus.sources import SourceError

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


class NoHost(Transient):
    """A host has no address for us: its name is wrong, or there is no network."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host!r} cannot be looked up: is there a network?")


class Stop(DownloadCancelled):
    """Raised in the middle of a download."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def verdict(error: BaseException, folder: Path, *, youtube: bool) -> Exception:
    """What an error of yt-dlp means: Permanent, Transient, or SourceError where nothing more can be stored."""
    causes = list(_chain(error))
    reason = _reason(error)
    for cause in causes:
        if isinstance(cause, Stop):
            return cause.failure
        if isinstance(cause, Failure):
            return cause
        if isinstance(cause, OSError) and (cause.errno in DISK or (cause.errno == errno.EACCES and cause.filename)):
            return unwritable(folder, cause)
    if DISK_TEXT.search(reason):
        return unwritable(folder, reason)
    for cause in causes:
        if isinstance(cause, HTTPError):
            return _http(cause, youtube)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return NoHost(_host(causes))
    if PASSING.search(reason) or any(isinstance(cause, TransportError) for cause in causes):
        return Transient(reason)
    if any(isinstance(cause, RequestError) for cause in causes):  # an address that no handler takes
        return Permanent(reason)
    expected = any(isinstance(cause, ExtractorError) and cause.expected for cause in causes)
    return Permanent(reason) if expected else Transient(reason)


def _host(causes: list[BaseException]) -> str:
    """The one that could not be looked up, which only the texts name."""
    named = (re.search(r"Failed to resolve '([^']+)'", str(cause)) for cause in causes)
    return next((match[1] for match in named if match), "the host")


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
    said = str(error) if isinstance(error, (YoutubeDLError, OSError)) else f"{type(error).__name__}: {error}"
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", said).split())
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
