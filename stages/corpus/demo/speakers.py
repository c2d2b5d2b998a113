"""Made-up people: a face shape, colouring, a voice, and a personal way of showing each emotion.

The personal way is a fixed smooth function of the face shape (with a share that is not), so that it can in part
be foretold for a speaker never seen before: that is what a style predictor has to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.corpus.demo.emotions import EMOTIONS
from stages.corpus.demo.photograph import Photograph
from stages.corpus.demo.rig import INDEX, PARAMETERS, Handle, identity_shape

# Identity parameter → handles, at one standard deviation; lengths as in `rig`.
IDENTITY: dict[str, tuple[Handle, ...]] = {
    "face_width": ((234, (-0.055, 0.0, 0.0), 0.45, "all"), (172, (-0.045, 0.0, 0.0), 0.4, "all")),
    "jaw_width": ((172, (-0.055, 0.0, 0.0), 0.33, "all"), (150, (-0.05, 0.01, 0.0), 0.25, "all")),
    "chin_length": ((152, (0.0, 0.075, 0.0), 0.38, "all"),),
    "chin_width": ((149, (-0.05, 0.0, 0.0), 0.22, "all"),),
    "nose_length": ((2, (0.0, 0.04, 0.0), 0.17, "all"), (1, (0.0, 0.035, -0.015), 0.15, "all")),
    "nose_width": ((98, (-0.035, 0.0, 0.0), 0.11, "all"),),
    "eye_size": (
        (159, (0.0, -0.022, 0.0), 0.11, "all"),
        (145, (0.0, 0.014, 0.0), 0.1, "all"),
        (33, (-0.02, 0.0, 0.0), 0.1, "all"),
    ),
    "eye_spacing": ((159, (-0.032, 0.0, 0.0), 0.22, "all"), (145, (-0.032, 0.0, 0.0), 0.22, "all")),
    "eye_slant": ((33, (0.0, -0.025, 0.0), 0.12, "all"), (133, (0.0, 0.012, 0.0), 0.09, "all")),
    "mouth_width": ((61, (-0.04, 0.0, 0.0), 0.18, "all"),),
    "mouth_height": ((13, (0.0, 0.035, 0.0), 0.3, "all"),),
    "lip_fullness": ((0, (0.0, -0.02, -0.01), 0.13, "upper"), (17, (0.0, 0.024, -0.01), 0.14, "lower")),
    "brow_height": ((105, (0.0, -0.035, 0.0), 0.2, "all"), (55, (0.0, -0.03, 0.0), 0.16, "all")),
    "cheek_fullness": ((205, (-0.05, 0.02, -0.03), 0.26, "all"),),
    "face_height": ((10, (0.0, -0.05, 0.0), 0.3, "all"),),
}
# What sets men apart, in standard deviations; women lean the other way.
_MALE = {"jaw_width": 0.9, "chin_length": 0.5, "chin_width": 0.7, "nose_length": 0.5, "nose_width": 0.4,
         "eye_size": -0.6, "lip_fullness": -0.7, "brow_height": -0.8}  # fmt: skip
_VOICES = {
    "M": ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Andy", "Alex", "Gene", "Lee", "Marco", "Michael"),
    "W": ("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "belinda", "linda", "steph", "aunty"),
}
_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan")
_NO_HABIT = ("jaw_open", "lips_together", "blink", "lip_funnel", "smirk")
# Seeds the map from face to manner: the same in every corpus, so that corpora agree on it.
_MANNER_SEED = 20240101


@dataclass(frozen=True)
class Speaker:
    """identity: (15,) in standard deviations; shape: (468, 3) neutral face; skin, hair, backdrop: factor on
    lightness and offsets of a and b in CIELAB; lips: their redness, added to a; stubble,
    brows: their darkness in [0, 1]; voice: espeak-ng name; pitch, pitch_range:
    its 0 to 99; rate: words per minute; gain, offset: emotion → (parameters,) personal factor and addition to
    the emotion's face; liveliness: factor on head motion; articulation: factor on mouth openness; placement:
    (x, y) of the head in the frame and scale, relative."""

    name: str
    identity: np.ndarray
    shape: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    backdrop: np.ndarray
    stubble: float
    lips: float
    brows: float
    voice: str
    pitch: float
    pitch_range: float
    rate: float
    gain: dict[str, np.ndarray]
    offset: dict[str, np.ndarray]
    liveliness: float
    articulation: float
    placement: np.ndarray


def _traits(identity: np.ndarray, foretold: float, own: np.random.Generator) -> np.ndarray:
    """Four traits of temper, (4,) in [-1, 1]: in the share `foretold` a fixed smooth function of the face's shape."""
    weights = np.random.default_rng(_MANNER_SEED).normal(0, 1.5 / np.sqrt(len(identity)), (4, len(identity)))
    return foretold * np.tanh(weights @ identity) + (1 - foretold) * np.tanh(own.normal(0, 1, 4))


def _manner(traits: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Emotion → personal factors (20,) on its face, and additions (20,) of what its table leaves alone."""
    weights = np.random.default_rng(_MANNER_SEED + 1)
    gain, offset = {}, {}
    for emotion, table in EMOTIONS.items():
        strength, habit = weights.normal(0, 1, (2, len(PARAMETERS), len(traits))) @ traits
        gain[emotion] = np.exp(0.4 * np.clip(strength, -1.6, 1.3))
        habit = np.clip(habit, 0, 1.5)
        habit[[INDEX[name] for name in (*table.face, *_NO_HABIT)]] = 0
        offset[emotion] = 0.16 * habit * (emotion != "neutral")
    return gain, offset


def make_speaker(photo: Photograph, number: int, seed: int, foretold: float) -> Speaker:
    """Speaker `number` (from 0) of the corpus with this seed: M and W alternate, numbered from 001.

    foretold: how much of the temper follows from the face, 0 to 1; the rest is drawn.
    """
    rng = np.random.default_rng([seed, number])
    male = number % 2 == 0
    sex = "M" if male else "W"
    lean = np.array([_MALE.get(name, 0.0) for name in IDENTITY]) * (1 if male else -0.6)
    identity = np.clip(rng.normal(0, 1, len(IDENTITY)), -1.8, 1.8) + lean
    traits = _traits(identity, foretold, rng)
    gain, offset = _manner(traits)
    tone = rng.uniform(0, 1)
    warmth = rng.uniform(-1, 1)
    return Speaker(
        name=f"{sex}{number // 2 + 1:03d}",
        identity=identity,
        shape=identity_shape(photo, IDENTITY, identity),
        skin=np.array([1.04 - 0.5 * tone, 2.5 * warmth + 5 * tone, 2.5 * rng.uniform(-1, 1) + 5 * tone]),
        hair=np.array([rng.uniform(0.25, 1.1), rng.uniform(-2, 9), rng.uniform(-16, 3)]),
        backdrop=np.array([rng.uniform(0.4, 1.05), rng.uniform(-14, 14), rng.uniform(-22, 18)]),
        stubble=float(rng.uniform(0.1, 1.0)) if male else 0.0,
        lips=float(rng.uniform(3, 7) if male else rng.uniform(6, 16)),
        brows=float(rng.uniform(0.35, 0.9) if male else rng.uniform(0.0, 0.5)),
        voice=f"{_ACCENTS[rng.integers(len(_ACCENTS))]}+{_VOICES[sex][(number // 2) % len(_VOICES[sex])]}",
        pitch=45 + 9 * traits[0] + (0 if male else 5),
        pitch_range=48 + 10 * traits[1],
        rate=165 + 18 * traits[3],
        gain=gain,
        offset=offset,
        liveliness=float(np.exp(0.35 * traits[1])),
        articulation=float(np.exp(0.22 * traits[2])),
        placement=np.array([rng.uniform(-0.06, 0.06), rng.uniform(-0.04, 0.05), rng.uniform(0.92, 1.08)]),
    )
