"""A user study as a folder: one page and its videos, that open from a disk or any web server and call nobody.

Blinded: a video's name says nothing, the method stands in key.json beside the folder, and all videos are encoded alike,
without metadata. Balanced: see :func:`orders`. Randomised: every participant has an order of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from stages import pages
from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.evaluation.compare import videos
from stages.evaluation.scoring import FPS, squares
from stages.files import atomic_path, fresh_dir, write_json

DRAWS = 20  # of an order in which no clip follows itself
RATE = 16000  # Hz, of the videos' sound
TEMPLATE = Path(__file__).with_name("page.html.j2")
ASPECTS = {
    "lip_sync": "How well do the lips fit the speech?",
    "realness": "How real does the video look?",
    "style": "How alike is the speaking style to that of the silent reference?",
}
"""What is asked of every video, from 1 (bad) to 5 (excellent), as in the paper; style only beside a reference."""


def make(
    methods: Mapping[str, Path],
    out: Path,
    *,
    references: Path | None = None,
    clips: int = 30,
    participants: int = 24,
    each_clip_once: bool = False,
    size: int = 256,
    seed: int = 0,
) -> dict:
    """Write out/index.html and out/videos/, and out.key.json beside the folder, which participants must not see.

    Args:
        methods: folders of videos with sound, <clip_id>.mp4, by name; the clips that all have are used.
        references: silent videos of the same names that show the style asked for; None: style is not asked for.
        clips: how many at most, evenly over the sorted ids (paper: 30).
        participants: for how many an order is laid out (paper: 22); the next begins with the first order again.
        each_clip_once: a participant sees each clip by one method instead of by all.
        size: px, edge of the videos. seed: of names and orders.

    Returns:
        what key.json holds: `study`, `aspects`, and by code `method` and `clip_id`.

    Raises:
        ValueError: fewer than two methods, no clip in common, or a video that cannot be read or has no sound; named.
    """
    if len(methods) < 2:
        raise ValueError("a study compares at least two methods")
    found = {name: videos(folder) for name, folder in methods.items()}
    shown = videos(references) if references else {}
    every = [*found.values(), *([shown] if references else [])]
    common = sorted(set.intersection(*map(set, every)))
    if not common:
        raise ValueError("no clip that all methods (and the references) have: videos must have the same names")
    chosen = [common[i] for i in np.linspace(0, len(common) - 1, min(clips, len(common))).round().astype(int)]
    names = list(methods)
    codes = {(name, clip_id): _code(seed, name, clip_id) for name in names for clip_id in chosen}
    folder = fresh_dir(out / "videos")
    for (name, clip_id), code in codes.items():
        _copy(found[name][clip_id], folder / f"{code}.mp4", size, sound=True)
    guides = {clip_id: _code(seed, "", clip_id) for clip_id in chosen} if references else {}
    for clip_id, code in guides.items():
        _copy(shown[clip_id], folder / f"{code}.mp4", size, sound=False)
    samples = [{"code": code, "reference": guides.get(clip_id)} for (_, clip_id), code in codes.items()]
    key = {
        "aspects": [name for name in ASPECTS if references or name != "style"],
        "videos": {code: {"method": name, "clip_id": clip_id} for (name, clip_id), code in codes.items()},
    }
    laid_out = orders(len(names), len(chosen), participants, each_clip_once, seed)
    told = json.dumps({**key, "orders": laid_out}, sort_keys=True)  # a browser resumes a study of the same id
    study = hashlib.blake2b(told.encode(), digest_size=4).hexdigest()
    key = {"study": study, **key}
    content = {
        "study": study,
        "aspects": {name: ASPECTS[name] for name in key["aspects"]},
        "samples": samples,
        "orders": laid_out,
    }
    with atomic_path(out / "index.html") as tmp:
        environment = pages.environment(TEMPLATE.parent)
        tmp.write_text(environment.get_template(TEMPLATE.name).render(content=json.dumps(content)), encoding="utf-8")
    write_json(key, key_of(out))
    return key


def key_of(out: Path) -> Path:
    """Where the key of a study in `out` lies: beside it, so that the folder can be handed out as it is."""
    return out.with_name(f"{out.name}.key.json")


def orders(methods: int, clips: int, participants: int, each_clip_once: bool, seed: int) -> list[list[int]]:
    """Each participant's samples in order; sample m · clips + c is clip c by method m.

    Either all of them, or each clip once, by method (c + participant) modulo `methods`: so `methods` participants after
    each other see every sample once, and each participant sees all methods equally often where `clips` is a multiple of
    `methods`, else some of them once more. The order is random, but no clip follows itself where that can be had.
    """
    rng = np.random.default_rng(seed)
    result = []
    for participant in range(participants):
        if each_clip_once:
            samples = [(c + participant) % methods * clips + c for c in range(clips)]
        else:
            samples = list(range(methods * clips))
        for _ in range(DRAWS):
            order = _apart([int(i) for i in rng.permutation(samples)], clips)
            if all(a % clips != b % clips for a, b in pairwise(order)):
                break
        result.append(order)
    return result


def _apart(samples: list[int], clips: int) -> list[int]:
    """Samples moved so that none follows one of the same clip, as far as a single pass can."""
    for i in range(1, len(samples)):
        if samples[i] % clips == samples[i - 1] % clips:
            later = [j for j in range(i + 1, len(samples)) if samples[j] % clips != samples[i - 1] % clips]
            if later:
                samples[i], samples[later[0]] = samples[later[0]], samples[i]
    return samples


def _code(seed: int, name: str, clip_id: str) -> str:
    return hashlib.blake2b(f"{name}\n{clip_id}".encode(), key=str(seed).encode(), digest_size=6).hexdigest()


def _copy(source: Path, target: Path, size: int, sound: bool) -> None:
    try:
        frames = squares(decode.frames(source, FPS), size)
        heard: Sequence = (decode.read_audio(source, RATE)[: len(frames) * RATE // FPS], RATE) if sound else ()
    except decode.MediaError as error:
        raise ValueError(f"{source} {error}") from error
    write_mp4(target, frames, FPS, *heard)
