"""From phonemes with times to mouth shapes: viseme targets blended by dominance, lips that really close.

The blend follows the idea of Cohen and Massaro (1993, "Modeling coarticulation in synthetic visual speech"):
every phoneme pulls on each muscle with a dominance that fades with time before and after it, and the mouth is
the dominance-weighted mean.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stages.corpus.demo.rig import INDEX, PARAMETERS

# viseme → (dominance, {rig parameter: value})
VISEMES: dict[str, tuple[float, dict[str, float]]] = {
    "rest": (0.5, {"lips_together": 1.0}),
    "bilabial": (1.0, {"lips_together": 1.0, "lip_press": 0.35, "jaw_open": 0.06}),
    "labiodental": (1.0, {"lower_lip_tuck": 0.75, "upper_lip_raise": 0.45, "jaw_open": 0.10}),
    "dental": (0.7, {"jaw_open": 0.17, "lower_lip_depress": 0.25}),
    "alveolar": (0.5, {"jaw_open": 0.13, "lip_stretch": 0.12, "lower_lip_depress": 0.2}),
    "sibilant": (0.8, {"jaw_open": 0.07, "lip_stretch": 0.3, "lower_lip_depress": 0.45, "upper_lip_raise": 0.2}),
    "palatal": (0.9, {"jaw_open": 0.09, "lip_funnel": 0.75}),
    "velar": (0.4, {"jaw_open": 0.19}),
    "rounded": (1.0, {"jaw_open": 0.08, "lip_pucker": 0.85}),
    "liquid": (0.6, {"jaw_open": 0.14, "lip_funnel": 0.35}),
    "open": (0.9, {"jaw_open": 0.55, "lower_lip_depress": 0.1}),
    "front_open": (0.9, {"jaw_open": 0.46, "lip_stretch": 0.3, "upper_lip_raise": 0.15}),
    "mid": (0.8, {"jaw_open": 0.33, "lip_stretch": 0.2}),
    "central": (0.5, {"jaw_open": 0.24}),
    "front_close": (0.9, {"jaw_open": 0.15, "lip_stretch": 0.6, "lower_lip_depress": 0.25}),
    "back_open": (0.9, {"jaw_open": 0.40, "lip_funnel": 0.4, "lip_pucker": 0.2}),
    "back_close": (1.0, {"jaw_open": 0.13, "lip_pucker": 0.75, "lip_funnel": 0.15}),
}
# espeak-ng mnemonics (stress marks removed) → visemes; a diphthong moves through two.
PHONEMES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("p", "b", "m"), ("bilabial",)),
    **dict.fromkeys(("f", "v"), ("labiodental",)),
    **dict.fromkeys(("T", "D"), ("dental",)),
    **dict.fromkeys(("t", "d", "n", "l", "t2", "t#", "n-", "l/2", "l/", "@L"), ("alveolar",)),
    **dict.fromkeys(("s", "z"), ("sibilant",)),
    **dict.fromkeys(("S", "Z", "tS", "dZ"), ("palatal",)),
    **dict.fromkeys(("k", "g", "N", "h", "x", "?"), ("velar",)),
    **dict.fromkeys(("w", "w#"), ("rounded",)),
    **dict.fromkeys(("r", "r-", "j", ";"), ("liquid",)),
    **dict.fromkeys(("A:", "A", "V", "A@", "a2"), ("open",)),
    **dict.fromkeys(("a", "aa", "a#"), ("front_open",)),
    **dict.fromkeys(("E", "e", "E2", "3:", "3", "e@"), ("mid",)),
    **dict.fromkeys(("@", "@2", "@5", "@-", "I2", "I#", "I", "U#"), ("central",)),
    **dict.fromkeys(("i:", "i", "i@", "i@3"), ("front_close",)),
    **dict.fromkeys(("0", "O", "O:", "O@", "o@", "O2"), ("back_open",)),
    **dict.fromkeys(("u:", "U", "u", "U@"), ("back_close",)),
    "aI": ("open", "front_close"),
    "aU": ("open", "back_close"),
    "eI": ("mid", "front_close"),
    "oU": ("back_open", "back_close"),
    "OI": ("back_open", "front_close"),
    "aI3": ("open", "front_close"),
    "aI@": ("open", "front_close"),
    "aU@": ("open", "back_close"),
}
CLOSED = ("p", "b", "m")
_REACH_S = 0.055  # how far a phoneme's pull reaches beyond its middle


def plain(mnemonic: str) -> str:
    """An espeak-ng mnemonic without its stress marks."""
    return mnemonic.strip("',_:;|!") if mnemonic.startswith("_") else mnemonic.lstrip("',=%")


def visemes_of(mnemonic: str) -> tuple[str, ...]:
    """The visemes of a phoneme; pauses rest, and a phoneme that the table lacks opens the mouth a little."""
    name = plain(mnemonic)
    return PHONEMES.get(name, ("central",) if name else ("rest",))


def _segments(phonemes: list[tuple[str, float]]) -> list[tuple[str, float, float]]:
    """(viseme, start, end) in seconds, ascending."""
    segments = []
    for (name, start), (_, end) in pairwise(phonemes):
        parts = visemes_of(name)
        step = (end - start) / len(parts)
        segments += [(part, start + i * step, start + (i + 1) * step) for i, part in enumerate(parts)]
    return segments


def closures(phonemes: list[tuple[str, float]]) -> list[tuple[float, float]]:
    """(start, end) in seconds of every p, b and m."""
    pairs = pairwise(phonemes)
    return [(start, end) for (name, start), (_, end) in pairs if plain(name) in CLOSED]


def mouth_track(phonemes: list[tuple[str, float]], times: np.ndarray) -> np.ndarray:
    """Rig parameters (n, parameters) of the speaking mouth at `times` (n,) in seconds."""
    segments = _segments(phonemes)
    targets = np.zeros((len(segments), len(PARAMETERS)))
    dominance = np.empty(len(segments))
    for row, (viseme, _, _) in enumerate(segments):
        dominance[row], values = VISEMES[viseme]
        for name, value in values.items():
            targets[row, INDEX[name]] = value
    start, end = (np.array([segment[i] for segment in segments]) for i in (1, 2))
    beyond = np.maximum(np.maximum(start - times[:, None], times[:, None] - end), 0)
    centre = np.abs(times[:, None] - (start + end) / 2) / np.maximum(end - start, 0.03)
    pull = dominance * np.exp(-((beyond / _REACH_S) ** 2) - 0.5 * centre**2) + 1e-9
    track = pull @ targets / pull.sum(1, keepdims=True)
    track[:, INDEX["lips_together"]] = np.maximum(track[:, INDEX["lips_together"]] - 0.35, 0) / 0.65
    frame = np.median(np.diff(times)) if len(times) > 1 else 0.04
    for begin, stop in closures(phonemes):
        shut = np.clip(1.35 - np.maximum(np.maximum(begin - times, times - stop), 0) / (0.9 * frame), 0, 1)
        shut[np.argmin(np.abs(times - (begin + stop) / 2))] = 1.0
        track[:, INDEX["lips_together"]] = np.maximum(track[:, INDEX["lips_together"]], shut)
    return track
