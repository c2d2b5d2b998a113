"""MEAD (Wang et al., ECCV 2020), in its published layout and under the flattened names in use.

Published: ``M030/video/front/angry/level_3/001.mp4`` with ``M030/audio/angry/level_3/001.m4a``. Flattened:
``M030_front_angry_level3_001``, ``M030#angry#level_3#001``, ``M030_ang_3_001``, with the sound inside the video, or
beside it as .wav or .m4a. Video and sound are paired by path and checked by duration, never by counting.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from stages.corpus.decode import MediaError, probe
from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.local import (
    NOT_ONE_TAKE,
    examine,
    failed,
    first_of_each,
    in_threads,
    is_sound,
    is_video,
    list_files,
    text,
)
from stages.params import Params
from stages.tables import EMOTIONS

VIEWS = ("front", "down", "top", "left_30", "left_60", "right_30", "right_60")
STYLES = [(emotion, level) for emotion in EMOTIONS for level in (1, 2, 3) if emotion != "neutral" or level == 1]
SENTENCES = {emotion: 40 if emotion == "neutral" else 30 for emotion in EMOTIONS}  # as published
SHIFTED = 3  # pairs of one style that do not fit are no accident
SENTENCE, STYLE, VIEW = "sentence", "style", "view"
KNOWN = {  # holes of the published files, reported by their users
    ("M003", SENTENCE): "a clip of it is lost in the published files, so that its sentence numbers are shifted",
    ("M011", STYLE): "the published files lack some of its emotions and views",
    ("M019", STYLE): "the published files lack some of its emotions and views",
    ("W017", VIEW): "the published files have its view down only",
}

_ACTOR, _NUMBER = r"(?P<actor>[MW]\d{3})", r"(?P<number>\d{3})"
_VIEW, _EMOTION, _SHORT = (
    f"(?P<{group}>{'|'.join(names)})"
    for group, names in (("view", VIEWS), ("emotion", EMOTIONS), ("short", [name[:3] for name in EMOTIONS]))
)
_STYLE = rf"{_EMOTION}/level_(?P<level>[1-3])/{_NUMBER}"
VIDEO_PATH = re.compile(rf".*/{_ACTOR}/(?:.*/)?video/{_VIEW}/{_STYLE}", re.ASCII | re.DOTALL)
SOUND_PATH = re.compile(rf".*/{_ACTOR}/(?:.*/)?audio/{_STYLE}", re.ASCII | re.DOTALL)
NAMES = (
    re.compile(rf"{_ACTOR}_{_VIEW}_{_EMOTION}_level_?(?P<level>[1-3])_{_NUMBER}", re.ASCII),
    re.compile(rf"{_ACTOR}#{_EMOTION}#level_?(?P<level>[1-3])#{_NUMBER}", re.ASCII),
    re.compile(rf"{_ACTOR}_{_SHORT}_(?P<level>[1-3])_{_NUMBER}", re.ASCII),
)
LONG = {name[:3]: name for name in EMOTIONS}


class Take(NamedTuple):
    """What a path says; `view` is None where it does not say one."""

    actor: str
    view: str | None
    emotion: str
    level: int
    number: str


def items(params: Params, raw_dir: Path) -> Found:
    """The videos of one view (ingest.mead.view) below ingest.folder; holes of every actor as defects.

    Whatever the layout, item_id is ``M030_front_angry_level3_001``. Names that state no view are taken to be of the
    view asked for.

    Raises:
        SourceError: the folder is missing, or has nothing of that view in a known layout.
    """
    folder, view = Path(params.ingest.folder), params.ingest.mead.view
    files = list_files(folder, "put MEAD's extracted actor folders (M003, M005, ...) there")
    takes = {path: take for path in files if (is_video(path) or is_sound(path)) and (take := parse(path))}
    videos = [path for path in takes if not is_sound(path) and takes[path].view in (view, None)]
    found = Found()
    _report_strangers(found, folder, [path for path in files if path not in takes])
    if not videos:
        raise SourceError(_nothing(folder, view, takes))
    firsts, repeats = first_of_each((item_id(takes[path], view), path) for path in videos)
    for key, path in repeats:
        found.defect(_below(path, folder), f"is a second video of {key}", "not used", item=key)
    sounds, _ = first_of_each((takes[path][2:] + takes[path][:1], path) for path in files if _is_sound_of_all(path))
    beside = {path.with_suffix(""): path for path in takes if is_sound(path)}

    def row(pair: tuple[str, Path]) -> dict:
        key, path = pair
        take = takes[path]
        sound = beside.get(path.with_suffix("")) or sounds.get(take[2:] + take[:1])
        known = {"item_id": key, "corpus": "mead", "speaker": take.actor, "emotion": take.emotion, "level": take.level}
        return known | {"origin": _below(path, folder)} | _with_sound(path, sound, params.ingest.max_pair_gap_s)

    found.items = in_threads(row, list(firsts.items()))
    _distrust_shifted(found.items)
    _report_holes(found, takes, view)
    _report_lone_sounds(found, folder, takes)
    return found


def parse(path: Path) -> Take | None:
    """What a file's path says of it, in any of the layouts; None where it is not MEAD's."""
    stem = path.absolute().with_suffix("").as_posix()
    match = VIDEO_PATH.fullmatch(stem) or SOUND_PATH.fullmatch(stem)
    match = match or next((found for name in NAMES if (found := name.fullmatch(path.stem))), None)
    if not match:
        return None
    said = match.groupdict()
    emotion = said.get("emotion") or LONG[said["short"]]
    return Take(said["actor"], said.get("view"), emotion, int(said["level"]), said["number"])


def item_id(take: Take, view: str) -> str:
    return f"{take.actor}_{view}_{take.emotion}_level{take.level}_{take.number}"


def _is_sound_of_all(path: Path) -> bool:
    """Whether it is the sound that all views of a take share."""
    return is_sound(path) and bool(SOUND_PATH.fullmatch(path.absolute().with_suffix("").as_posix()))


def _with_sound(path: Path, sound: Path | None, max_gap_s: float) -> dict:
    if sound:
        return examine(path, sound, max_gap_s)
    try:
        if not probe(path).has_audio:
            return failed("has no sound, inside or in a file of its own")
    except (MediaError, OSError):
        pass  # examine says what is wrong
    return examine(path)


def _distrust_shifted(rows: list[dict]) -> None:
    """Fail the pairs that fit by chance among those whose sentence numbers are shifted: where several pairs of an
    actor's style do not fit, all from the first of these on."""
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["item_id"]):
        groups[row["speaker"], row["emotion"], row["level"]].append(row)
    for group in groups.values():
        misfits = [place for place, row in enumerate(group) if NOT_ONE_TAKE in row.get("reason", "")]
        if len(misfits) >= SHIFTED:
            first = group[misfits[0]]["item_id"]
            for row in group[misfits[0] :]:
                if row.get("audio_path"):
                    del row["audio_path"], row["audio_sha256"], row["path"], row["sha256"]
                    row |= failed(f"its numbers seem shifted: {len(misfits)} pairs from {first} on do not fit")


def _nothing(folder: Path, view: str, takes: dict[Path, Take]) -> str:
    others = sorted({take.view for path, take in takes.items() if take.view and not is_sound(path)})
    if others:
        return f"{folder} has no video of view {view!r}: ingest.mead.view may be {', '.join(others)}"
    tars = any(path.suffix == ".tar" for path in list_files(folder))
    return f"{folder} has no video named as MEAD's, like M003/video/front/angry/level_1/001.mp4" + (
        ": extract the .tar files first" if tars else " or M030_front_angry_level3_001.mp4"
    )


def _report_strangers(found: Found, folder: Path, strangers: list[Path]) -> None:
    """Files that are not MEAD's by their path, counted by folder so that a few lines say it."""
    by_folder = defaultdict(list)
    for path in strangers:
        by_folder[path.parent].append(path)
    for parent, paths in by_folder.items():
        names = f"{len(paths)} file{'s' if len(paths) > 1 else ''} not named as MEAD's, such as {text(paths[0].name)!r}"
        found.defect(_below(parent, folder), names, "not used")


def _report_holes(found: Found, takes: dict[Path, Take], view: str) -> None:
    """What an actor lacks against the published corpus."""
    views, numbers = defaultdict(set), defaultdict(lambda: defaultdict(set))
    for path, take in takes.items():
        if not is_sound(path):
            views[take.actor].add(take.view or view)
            if take.view in (view, None):
                numbers[take.actor][take.emotion, take.level].add(int(take.number))
    for actor in sorted(views):
        if view not in views[actor]:
            problem = f"has no view {view}, only {', '.join(sorted(views[actor]))}"
            found.defect(actor, problem + _known(actor, VIEW), "none of its videos is used", item=actor)
            continue
        missing = _missing(numbers[actor].keys())
        if missing:
            problem = f"has nothing of {', '.join(missing)} in view {view}{_known(actor, STYLE)}"
            found.defect(actor, problem, "the rest is used", item=actor)
        gaps = [_gap(*style, numbers[actor][style]) for style in STYLES if style in numbers[actor]]
        short = "; ".join(gap for gap in gaps if gap)
        if short:
            problem = f"has fewer sentences than published: {short}{_known(actor, SENTENCE)}"
            found.defect(actor, problem, "the rest is used", item=actor)


def _known(actor: str, kind: str) -> str:
    return f" (known: {KNOWN[actor, kind]})" if (actor, kind) in KNOWN else ""


def _missing(present: Collection[tuple[str, int]]) -> list[str]:
    """Emotions of which there is nothing, and levels of the others."""
    lacking = [style for style in STYLES if style not in present]
    gone = {emotion for emotion in EMOTIONS if all(style not in present for style in STYLES if style[0] == emotion)}
    return list(dict.fromkeys(emotion if emotion in gone else _style(emotion, level) for emotion, level in lacking))


def _gap(emotion: str, level: int, numbers: set[int]) -> str:
    expected = SENTENCES[emotion]
    if len(numbers) >= expected:
        return ""
    holes = sorted(set(range(1, max(numbers))) - numbers)
    named = f", without {', '.join(f'{number:03d}' for number in holes[:5])}{', ...' if len(holes) > 5 else ''}"
    return f"{_style(emotion, level)} {len(numbers)} of {expected}" + (named if holes else "")


def _style(emotion: str, level: int) -> str:
    return emotion if emotion == "neutral" else f"{emotion} level {level}"


def _report_lone_sounds(found: Found, folder: Path, takes: dict[Path, Take]) -> None:
    """Sounds whose video is missing in every view, counted by actor."""
    filmed = {take[2:] + take[:1] for path, take in takes.items() if not is_sound(path)}
    lone = [path for path, take in takes.items() if is_sound(path) and take[2:] + take[:1] not in filmed]
    for actor, count in sorted(Counter(takes[path].actor for path in lone).items()):
        first = next(path for path in lone if takes[path].actor == actor)
        found.defect(
            _below(first, folder),
            f"{count} sound files of {actor} have no video, this one first",
            "not used",
            item=actor,
        )


def _below(path: Path, folder: Path) -> str:
    return text(path.relative_to(folder))
