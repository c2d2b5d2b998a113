"""A preference test: of two videos of a clip, which speaks more in the style of a third? (paper, section IV-F)

The paper asks it of styles predicted from sound against styles of another speaker in the same emotion, beside the true
video. Whose video stands on which side, and in which order pairs come, is balanced and drawn: see :func:`orders`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.evaluation.rating import folder
from stages.evaluation.rating.folder import Film, code_of, in_common

QUESTION = "Which one speaks more in the style of the first video?"


def make(
    methods: Mapping[str, Path],
    truth: Path,
    out: Path,
    *,
    clips: int = 20,
    participants: int = 20,
    size: int = 256,
    seed: int = 0,
) -> dict:
    """Write out/index.html and out/videos/, and out.pairs.json beside the folder, which participants must not see.

    Args:
        methods: two folders of videos with sound, <clip_id>.mp4, by name; of the first one the share is told later.
        truth: videos of the same names that show the style, with sound.
        out: a new or empty folder, or one that holds an earlier page of that kind and nothing else.
        clips: how many at most, evenly over the sorted ids (paper: 20). participants: orders laid out (paper: 20).
        size: px, edge of the videos. seed: of names and orders.

    Returns:
        what out.pairs.json holds: `page` (its id), `asked` (pairs that a participant sees), `methods`, the two in the
        order given, and `videos`: by code `method` and `clip_id`.

    Raises:
        ValueError: not two methods, no clip in common, a video that cannot be read or has no sound, or a folder `out`
            that holds something else; named.
    """
    if len(methods) != 2:
        raise ValueError(f"a preference is between two methods; given: {len(methods)}")
    out = out.resolve()
    shown = [*methods.values(), truth]
    folder.check(out, key_of(out), shown)
    chosen, (*found, models) = in_common(shown, clips)
    codes = [
        [code_of(seed, name, clip_id, files[clip_id]) for clip_id in chosen]
        for name, files in zip(methods, found, strict=True)
    ]
    model_codes = [code_of(seed, "", clip_id, models[clip_id]) for clip_id in chosen]
    sides = [codes, codes[::-1]]
    samples = [
        {"model": model, "left": left, "right": right}
        for lefts, rights in sides
        for model, left, right in zip(model_codes, lefts, rights, strict=True)
    ]
    laid_out = orders(len(chosen), participants, seed)
    known = [(name, names) for name, names in zip(methods, codes, strict=True)]
    key = {
        "asked": len(chosen),
        "methods": list(methods),
        "videos": {
            code: {"method": name, "clip_id": clip_id}
            for name, names in known
            for code, clip_id in zip(names, chosen, strict=True)
        },
    }
    key = {"page": folder.page_id(key, samples, laid_out), **key}
    films = [
        Film(files[clip_id], code)
        for files, names in zip([*found, models], [*codes, model_codes], strict=True)
        for clip_id, code in zip(chosen, names, strict=True)
    ]
    content = json.dumps({"page": key["page"], "samples": samples, "orders": laid_out})
    folder.write(out, key_of(out), key, films, size, "preference.html.j2", content=content, question=QUESTION)
    return key


def key_of(out: Path) -> Path:
    """Where the key of the page in `out` lies: beside it, so that the folder can be handed out as it is."""
    out = out.resolve()  # "." has no name
    return out.with_name(f"{out.name}.pairs.json")


def orders(clips: int, participants: int, seed: int) -> list[list[int]]:
    """Each participant's samples in order; sample c has the first method of clip c on the left, clips + c the second.

    A participant sees each clip once and each method on the left as often as on the right, give or take one clip; the
    next participant sees every clip the other way round. The order is random.
    """
    rng = np.random.default_rng(seed)
    return [
        [int(i) for i in rng.permutation([(c + participant) % 2 * clips + c for c in range(clips)])]
        for participant in range(participants)
    ]
