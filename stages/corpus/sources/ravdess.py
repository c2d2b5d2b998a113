"""RAVDESS (Livingstone and Russo, PLoS ONE 2018): 24 actors, two sentences, eight emotions at two intensities.

A file's name says all: modality-channel-emotion-intensity-statement-repetition-actor, ``01-01-06-01-02-01-12.mp4``.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.local import examine, failed, first_of_each, in_threads, is_sound, is_video, list_files, text
from stages.params import Params, Ravdess

NAME = re.compile(r"\d\d(?:-\d\d){6}", re.ASCII)
MODALITIES = {"01": "both", "02": "video", "03": "sound"}
CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = dict(
    zip(
        (f"{n:02d}" for n in range(1, 9)),
        ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        strict=True,
    )
)
INTENSITIES = {"01": "normal", "02": "strong"}
PLAIN = ("01", "02")  # statement, repetition
ACTORS = [f"{n:02d}" for n in range(1, 25)]


class Take(NamedTuple):
    """What a name says, in words; `code` is the name but for its modality."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    actor: str
    code: str


def items(params: Params, raw_dir: Path) -> Found:
    """RAVDESS' takes below ingest.folder, with the emotions and levels that params map them to.

    A take is its audio-visual file (modality 01); where that is missing, its silent video (02) with its sound (03) of
    the same name. Songs are left out unless ingest.ravdess.song. The speaker is the actor, Actor_12.

    Raises:
        SourceError: the folder is missing, or has nothing named as RAVDESS names it.
    """
    folder, rules = Path(params.ingest.folder), params.ingest.ravdess
    files = list_files(folder, "put RAVDESS' extracted actor folders (Actor_01, ...) there")
    found = Found()
    takes = _read_names(found, folder, files)
    if not takes:
        raise SourceError(f"{folder} has no video named as RAVDESS names them, like 01-01-06-01-02-01-12.mp4")
    kinds = {kind: {} for kind in MODALITIES.values()}
    for kind, by_code in kinds.items():
        firsts, repeats = first_of_each((take.code, path) for path, take in takes.items() if take.modality == kind)
        by_code |= firsts
        for _, path in repeats:
            found.defect(text(path.relative_to(folder)), "is a second file of this name", "not used", item=path.stem)
    chosen = _choose(found, folder, kinds, takes, rules)

    def row(path: Path) -> dict:
        take = takes[path]
        sound = kinds["sound"].get(take.code) if take.modality == "video" else None
        known = {"item_id": path.stem, "corpus": "ravdess", "speaker": f"Actor_{take.actor}"}
        known |= {"emotion": getattr(rules.emotions, take.emotion), "level": level(take, rules)}
        usable = sound or take.modality == "both"
        state = (
            examine(path, sound, params.ingest.max_pair_gap_s)
            if usable
            else failed("has no sound: 01 and 03 are missing")
        )
        return known | {"origin": text(path.relative_to(folder))} | state

    found.items = in_threads(row, chosen)
    return found


def parse(stem: str) -> Take | None:
    """What a name says; None where it is not of RAVDESS' form.

    Raises:
        ValueError: a field has a value that RAVDESS does not know; it is named.
    """
    if not NAME.fullmatch(stem):
        return None
    fields = stem.split("-")
    allowed = (MODALITIES, CHANNELS, EMOTIONS, INTENSITIES, PLAIN, PLAIN, ACTORS)
    names = ("modality", "channel", "emotion", "intensity", "statement", "repetition", "actor")
    for name, value, known in zip(names, fields, allowed, strict=True):
        if value not in known:
            raise ValueError(f"{name} {value} is not one of {', '.join(known)}")
    modality, channel, emotion, intensity, _, _, actor = fields
    return Take(
        MODALITIES[modality],
        CHANNELS[channel],
        EMOTIONS[emotion],
        INTENSITIES[intensity],
        actor,
        stem.partition("-")[2],
    )


def level(take: Take, rules: Ravdess) -> int | None:
    """MEAD's level; neutral has level 1 only."""
    mapped = getattr(rules.levels, take.intensity)
    return 1 if mapped and getattr(rules.emotions, take.emotion) == "neutral" else mapped


def _read_names(found: Found, folder: Path, files: list[Path]) -> dict[Path, Take]:
    takes, strangers = {}, []
    for path in files:
        try:
            take = parse(path.stem)
        except ValueError as error:
            found.defect(text(path.relative_to(folder)), str(error), "not used", item=path.stem)
            continue
        if take and (is_sound(path) if take.modality == "sound" else is_video(path)):
            takes[path] = take
        else:
            strangers.append(path)
    if strangers:
        first = text(strangers[0].relative_to(folder))
        found.defect(first, f"{len(strangers)} files are not named as RAVDESS', this one first", "not used")
    return takes


def _choose(
    found: Found, folder: Path, kinds: dict[str, dict[str, Path]], takes: dict[Path, Take], rules: Ravdess
) -> list[Path]:
    """A file for each take that the parameters ask for; says how many were left out, and why."""
    videos = kinds["video"] | kinds["both"]
    chosen, dropped = [], Counter()
    for _, path in sorted(videos.items()):
        take = takes[path]
        if take.channel == "song" and not rules.song:
            dropped["songs", "ingest.ravdess.song is false"] += 1
        elif getattr(rules.emotions, take.emotion) is None:
            dropped[f"{take.emotion} takes", f"ingest.ravdess.emotions.{take.emotion} is null"] += 1
        elif getattr(rules.levels, take.intensity) is None:
            dropped[f"takes of {take.intensity} intensity", f"ingest.ravdess.levels.{take.intensity} is null"] += 1
        else:
            chosen.append(path)
    copies = len(kinds["video"].keys() & kinds["both"].keys())
    dropped["silent videos", "their files with sound (01) are there"] += copies
    used = {takes[path].code for path in chosen if takes[path].modality == "video"}
    dropped["sound files", "only a silent video without its audio-visual file needs one"] += len(
        kinds["sound"].keys() - used
    )
    for (what, why), count in dropped.items():
        if count:
            found.left_out(text(folder.name), f"{count} {what}", why)
    return chosen
