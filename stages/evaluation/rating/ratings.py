"""A rating test, in which each video is rated: a folder (see stages/evaluation/rating/folder.py) for participants.

Balanced: see :func:`orders`. Randomised: every participant has an order of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from stages.evaluation.rating import folder
from stages.evaluation.rating.folder import Film, code_of, in_common

DRAWS = 20  # of an order in which no clip follows itself
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

    The folder appears when it is whole; only then is an earlier one at the same place removed.

    Args:
        methods: folders of videos with sound, <clip_id>.mp4, by name; the clips that all have are used.
        out: a new or empty folder, or one that holds an earlier page and nothing else.
        references: silent videos of the same names that show the style asked for; None: style is not asked for.
        clips: how many at most, evenly over the sorted ids (paper: 30).
        participants: for how many an order is laid out (paper: 22); the next begins with the first order again.
        each_clip_once: a participant sees each clip by one method instead of by all.
        size: px, edge of the videos. seed: of names and orders.

    Returns:
        what out.key.json holds: `page` (its id), `asked` (videos that a participant rates), `aspects`, and `videos`: by
        code `method` and `clip_id`.

    Raises:
        ValueError: fewer than two methods, no clip in common, a video that cannot be read or has no sound, or a folder
            `out` that holds something else; named.
    """
    if len(methods) < 2:
        raise ValueError(f"ratings compare at least two methods; given: {len(methods)}")
    out = out.resolve()
    shown = [*methods.values(), *([references] if references else [])]
    folder.check(out, key_of(out), shown)
    chosen, found = in_common(shown, clips)
    files = dict(zip(methods, found, strict=False))
    codes = {
        (name, clip_id): code_of(seed, name, clip_id, files[name][clip_id]) for name in methods for clip_id in chosen
    }
    guides = {clip_id: code_of(seed, "", clip_id, found[-1][clip_id]) for clip_id in chosen} if references else {}
    samples = [{"code": code, "reference": guides.get(clip_id)} for (_, clip_id), code in codes.items()]
    laid_out = orders(len(methods), len(chosen), participants, each_clip_once, seed)
    key = {
        "asked": len(laid_out[0]),
        "aspects": [name for name in ASPECTS if references or name != "style"],
        "videos": {code: {"method": name, "clip_id": clip_id} for (name, clip_id), code in codes.items()},
    }
    key = {"page": folder.page_id(key, samples, laid_out), **key}
    content = {
        "page": key["page"],
        "aspects": {name: ASPECTS[name] for name in key["aspects"]},
        "samples": samples,
        "orders": laid_out,
    }
    films = [Film(files[name][clip_id], code) for (name, clip_id), code in codes.items()]
    films += [Film(found[-1][clip_id], code, sound=False) for clip_id, code in guides.items()]
    folder.write(out, key_of(out), key, films, size, "ratings.html.j2", content=json.dumps(content))
    return key


def key_of(out: Path) -> Path:
    """Where the key of the page in `out` lies: beside it, so that the folder can be handed out as it is."""
    out = out.resolve()  # "." has no name
    return out.with_name(f"{out.name}.key.json")


def orders(methods: int, clips: int, participants: int, each_clip_once: bool, seed: int) -> list[list[int]]:
    """Each participant's samples in order; sample m · clips + c is clip c by method m.

    Either all of them, or each clip once, by method (c + participant) modulo `methods`: so each participant sees all
    methods equally often, give or take one clip where `clips` is no multiple of `methods`, and `methods` participants
    after each other see every sample once. The order is random, but no clip follows itself where that can be had.
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
