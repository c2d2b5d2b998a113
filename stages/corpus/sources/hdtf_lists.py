"""HDTF's text files as they really are, read into values with every defect noted by its line.

Three subsets of five files. Columns, by HDTF's README and by what fits the listed resolutions: video_url = name,
address; annotion_time = name, m:s-m:s of each clip; resolution = name, height in px; crop_wh = clip, x, width, y,
height in px of that resolution; crop_ratio = clip, factor on the detected window. Clip ``name_i`` is the i-th span of a
video, from 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.corpus.download.urls import UrlError, canonical
from stages.corpus.sources import Found
from stages.corpus.sources.local import text

LISTS = ("video_url", "annotion_time", "resolution", "crop_wh", "crop_ratio")
NAME = re.compile(r"[^\W_][\w.'’-]*")
CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{2}(?:\.\d+)?)"
WITHOUT = {"crop_wh": "cropped by detection", "crop_ratio": "its zoom is 1"}
SPAN = re.compile(rf"{CLOCK}-{CLOCK}", re.ASCII)


@dataclass
class Listed:
    """One subset's files, by name; values that cannot be used are not in them.

    Attributes:
        urls: addresses as listed, those too that cannot be downloaded from: the video may be there as a file.
        spans: (start, end) in seconds of each clip; None where it cannot be used, so that clips keep their numbers.
        heights: of a video, in px.
        windows: x, y, width, height of a clip, in shares of the listed height.
        ratios: of a clip.
    """

    subset: str
    urls: dict[str, str] = field(default_factory=dict)
    spans: dict[str, list[tuple[float, float] | None]] = field(default_factory=dict)
    heights: dict[str, int] = field(default_factory=dict)
    windows: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)

    def clips(self) -> dict[str, str]:
        """Names of the clips that have a span, with their video's."""
        return {f"{name}_{i}": name for name, each in self.spans.items() for i, span in enumerate(each) if span}


def read_lists(found: Found, folder: Path, paths: dict[str, Path], subset: str, *, fixed: bool) -> Listed:
    """Five files (by the kinds of LISTS) as one; what is wrong in them goes to `found`.

    Args:
        fixed: whether windows are wanted, or ratios; clips that lack the other are not worth a word.
    """
    listed = Listed(subset)
    rows = {kind: _Rows(found, text(paths[kind].relative_to(folder)), paths[kind]) for kind in LISTS}
    listed.urls = _urls(rows["video_url"])
    listed.spans = _spans(rows["annotion_time"])
    listed.heights = rows["resolution"].read(
        1, lambda values: _positive(int(values[0])), "clips are cropped by detection"
    )
    listed.ratios = rows["crop_ratio"].read(1, lambda values: _positive(float(values[0])), "its zoom is 1")
    windows = rows["crop_wh"].read(4, _window, "the clip is cropped by detection")
    listed.windows = _relative(windows, listed, rows["crop_wh"])
    _cross_check(listed, rows, "crop_wh" if fixed else "crop_ratio")
    return listed


class _Rows:
    """A list file's lines, read with their numbers; keeps where each name stands."""

    def __init__(self, found: Found, name: str, path: Path) -> None:
        self.found, self.name, self.path = found, name, path
        self.lines: dict[str, int] = {}
        self.empty = False

    def read(self, columns: int | None, parse: Callable[[list[str]], Any], otherwise: str) -> dict:
        """Name -> parsed value of the lines that can be used; `otherwise` says what becomes of the others."""
        values = {}
        for line, name, fields in self._names(otherwise):
            if columns is not None and len(fields) != columns:
                self.defect(
                    f"has {len(fields)} values, not {columns}: {' '.join(fields)[:80]!r}", otherwise, line, name
                )
                continue
            try:
                values[name] = parse(fields)
            except ValueError as error:
                self.defect(_plain(error, fields), otherwise, line, name)
        return values

    def defect(self, problem: str, consequence: str, line: int | None = None, item: str | None = None) -> None:
        self.found.defect(self.name, problem, consequence, row=line, item=item)

    def lacks(self, name: str) -> bool:
        """Whether a name has no line, in a file that has lines."""
        return not self.empty and name not in self.lines

    def _names(self, otherwise: str) -> Iterator[tuple[int, str, list[str]]]:
        content = self.path.read_bytes()
        if not content.strip():
            self.defect("is empty", otherwise)
            self.empty = True
        if content.startswith(b"\xef\xbb\xbf"):
            self.defect("begins with a byte-order mark", "taken off the first name", 1)
        for line, raw in enumerate(content.decode("utf-8-sig", "replace").split("\n"), start=1):
            stripped = raw.rstrip("\r")
            name, *fields = stripped.split() or [""]
            name = name.removesuffix(".mp4")
            if not name:
                continue
            if stripped != stripped.strip():
                self.defect("has blanks at an end", "taken off", line, name)
            if not NAME.fullmatch(name) or ".." in name:
                self.defect(f"{stripped[:80]!r} does not begin with a video's name", "the line is not used", line)
            elif name in self.lines:
                self.defect(f"is named in line {self.lines[name]} already", "the line is not used", line, name)
            else:
                self.lines[name] = line
                yield line, name, fields


def _urls(rows: _Rows) -> dict[str, str]:
    otherwise = "the video is used only if its file is there"
    urls = rows.read(1, lambda fields: fields[0], otherwise)
    for name, url in urls.items():
        try:
            _, plain = canonical(name, url)
        except UrlError as error:
            rows.defect(str(error), otherwise, rows.lines[name], name)
            continue
        if plain != url and plain in url:
            rows.defect(f"{url} has stray parameters", "dropped", rows.lines[name], name)
    return urls


def _spans(rows: _Rows) -> dict[str, list[tuple[float, float] | None]]:
    spans = rows.read(None, lambda fields: fields, "no clip of the video is used")
    return {name: [_span(rows, name, index, field) for index, field in enumerate(each)] for name, each in spans.items()}


def _span(rows: _Rows, name: str, index: int, field: str) -> tuple[float, float] | None:
    match = SPAN.fullmatch(field)
    start, end = (_seconds(match.groups()[:3]), _seconds(match.groups()[3:])) if match else (0.0, 0.0)
    if end > start:
        return start, end
    why = "does not end after it begins" if match else "is no time span such as 00:20-01:35"
    rows.defect(f"{field[:40]!r} {why}", "the clip is not used", rows.lines[name], f"{name}_{index}")
    return None


def _cross_check(listed: Listed, rows: dict[str, _Rows], needed: str) -> None:
    """What one file has and another lacks; `needed` is the one that must have a row for each clip."""
    clips = listed.clips()
    for name in listed.urls:
        if rows["annotion_time"].lacks(name):
            rows["video_url"].defect(
                "has no row of times", "the video is not used", rows["video_url"].lines[name], name
            )
    for name, each in listed.spans.items():
        line = rows["annotion_time"].lines[name]
        if rows["video_url"].lacks(name):
            rows["annotion_time"].defect("has no address", "used only if its file is there", line, name)
        if rows["resolution"].lacks(name):
            rows["annotion_time"].defect("has no row of resolution", "its clips are cropped by detection", line, name)
        usable = [span for span in each if span]
        if any(b[0] < a[1] and a[0] < b[1] for i, a in enumerate(usable) for b in usable[i + 1 :]):
            rows["annotion_time"].defect("has clips that overlap", "both are used", line, name)
    for kind in ("crop_wh", "crop_ratio"):
        lines = rows[kind].lines
        for clip in sorted(clips.keys() - lines.keys()):
            if kind == needed and rows[kind].lacks(clip):
                rows[kind].defect("has no row", WITHOUT[kind], None, clip)
        for clip in sorted(lines.keys() - clips.keys()):
            rows[kind].defect("is a clip that has no times", "the line is not used", lines[clip], clip)


def _relative(windows: dict[str, tuple[int, ...]], listed: Listed, rows: _Rows) -> dict[str, list[float]]:
    """Windows in shares of the listed height; without those that have no height, or lie outside of it."""
    clips, shares = listed.clips(), {}
    for clip, (x, y, width, height) in windows.items():
        full = listed.heights.get(clips.get(clip, ""))
        if full and y + height <= full:
            shares[clip] = [value / full for value in (x, y, width, height)]
        elif clip in clips:
            problem = (
                f"its window ends at {y + height} px, below the listed height of {full}"
                if full
                else "has no usable resolution"
            )
            rows.defect(problem, "cropped by detection", rows.lines[clip], clip)
    return shares


def _window(fields: list[str]) -> tuple[int, ...]:
    x, width, y, height = map(int, fields)
    if min(x, y) < 0 or min(width, height) <= 0:
        raise ValueError(f"no window has x {x}, width {width}, y {y}, height {height}")
    return x, y, width, height


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"{value:g} is not above 0")
    return value


def _seconds(clock: tuple[str | None, str, str]) -> float:
    hours, minutes, seconds = clock
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def _plain(error: ValueError, fields: list[str]) -> str:
    message = str(error)
    return f"{' '.join(fields)[:80]!r} is not a number" if "literal" in message or "convert" in message else message
