"""What an address in a list may be, and the name of the file that it is kept under."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qs, urlsplit

YOUTUBE = re.compile(r"(?:(?:www|m|music)\.)?youtube(?:-nocookie)?\.com", re.ASCII)
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)
SAFE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
LONGEST = 80


class UrlError(ValueError):
    """An address is not one that is downloaded from; the text says why."""


def canonical(name: str, url: str) -> tuple[str, str]:
    """(id, address) of a video: its YouTube id with a plain watch address, or the list's name and the address itself.

    Stray parameters of YouTube addresses (&t=6s, &list=...) are dropped; the id alone names the file.

    Raises:
        UrlError: it is not an http or https address, or one of YouTube without a video's id.
    """
    if re.search(r"[\s\x00-\x20\x7f]", url):
        raise UrlError("the address has blanks or control characters")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise UrlError(f"the address cannot be read: {error}") from error
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise UrlError(f"only http and https addresses are downloaded from, not {url[:100]!r}")
    if YOUTUBE.fullmatch(host) or host == "youtu.be":
        video = _youtube_id(host, parts.path, parts.query)
        return video, f"https://www.youtube.com/watch?v={video}"
    return safe_name(name), url


def is_youtube(url: str) -> bool:
    return url.startswith("https://www.youtube.com/watch?v=")


def safe_name(name: str) -> str:
    """`name` as a file's name of [A-Za-z0-9_-]; with a short hash where it had to change."""
    if SAFE.fullmatch(name) and not name.startswith("-") and len(name) <= LONGEST:
        return name
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:LONGEST]
    return f"{slug or 'video'}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _youtube_id(host: str, path: str, query: str) -> str:
    pieces = [piece for piece in path.split("/") if piece]
    if host == "youtu.be":
        video = pieces[0] if pieces else ""
    elif pieces and pieces[0] in ("embed", "shorts", "live", "v"):
        video = pieces[1] if len(pieces) > 1 else ""
    else:
        video = parse_qs(query).get("v", [""])[0]
    if not YOUTUBE_ID.fullmatch(video):
        raise UrlError("the address is YouTube's but names no video")
    return video
