"""What the eight emotions of MEAD do to face, voice and head, as plain tables at full strength (level 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Emotion:
    """face: rig parameter → offset; mouth: factor on the speaking mouth's openness; brows: how strongly brows
    follow the voice; head: factor on head motion; nod: head pitch offset in degrees (down is positive);
    tilt: head roll offset in degrees; blinks: blinks per minute; pitch, pitch_range: added to espeak-ng's 0 to
    99; rate, volume: factors."""

    face: dict[str, float]
    mouth: float
    brows: float
    head: float
    nod: float
    tilt: float
    blinks: float
    pitch: float
    pitch_range: float
    rate: float
    volume: float


EMOTIONS: dict[str, Emotion] = {
    "angry": Emotion(
        {"brow_furrow": 1.0, "eye_squint": 0.45, "lip_press": 0.25, "upper_lip_raise": 0.35,
         "lower_lip_depress": 0.35, "nose_wrinkle": 0.35, "eye_widen": 0.25},
        1.25, 0.2, 1.6, 4.0, 0.0, 12.0, 6.0, 24.0, 1.10, 1.6,
    ),
    "contempt": Emotion(
        {"smirk": 1.0, "eye_squint": 0.45, "brow_raise_outer": 0.25, "chin_raise": 0.2},
        0.85, 0.2, 0.7, -5.0, 5.0, 14.0, -8.0, -12.0, 0.92, 0.95,
    ),
    "disgusted": Emotion(
        {"nose_wrinkle": 1.0, "upper_lip_raise": 0.7, "frown": 0.35, "eye_squint": 0.6, "cheek_raise": 0.4,
         "chin_raise": 0.25},
        0.85, 0.2, 0.9, -2.5, -4.0, 18.0, -12.0, 5.0, 0.86, 1.05,
    ),
    "fear": Emotion(
        {"brow_raise_inner": 0.9, "brow_raise_outer": 0.35, "brow_furrow": 0.35, "eye_widen": 0.85,
         "lip_stretch": 0.6, "lower_lip_depress": 0.25},
        0.95, 0.3, 1.1, -2.0, 2.0, 30.0, 24.0, 4.0, 1.22, 0.9,
    ),
    "happy": Emotion(
        {"smile": 1.0, "cheek_raise": 0.8, "lip_stretch": 0.15, "upper_lip_raise": 0.3, "eye_squint": 0.2,
         "brow_raise_outer": 0.15},
        1.05, 0.5, 1.3, -1.0, 2.0, 18.0, 15.0, 22.0, 1.06, 1.2,
    ),
    "neutral": Emotion({}, 1.0, 0.3, 1.0, 0.0, 0.0, 16.0, 0.0, 0.0, 1.0, 1.0),
    "sad": Emotion(
        {"frown": 0.9, "brow_raise_inner": 0.8, "brow_furrow": 0.35, "chin_raise": 0.4, "eye_squint": 0.4},
        0.7, 0.15, 0.5, 6.0, -3.0, 22.0, -14.0, -25.0, 0.78, 0.7,
    ),
    "surprised": Emotion(
        {"brow_raise_inner": 1.0, "brow_raise_outer": 1.0, "eye_widen": 1.0, "jaw_open": 0.20,
         "lip_funnel": 0.15},
        1.15, 0.6, 1.2, -3.5, 0.0, 9.0, 22.0, 32.0, 0.98, 1.25,
    ),
}  # fmt: skip
LEVELS: dict[int, float] = {1: 0.4, 2: 0.7, 3: 1.0}


def styles(levels: Iterable[int]) -> list[tuple[str, int]]:
    """Every emotion at these levels; neutral once, which is level 1 as in MEAD."""
    levels = sorted(set(levels))
    return [(emotion, level) for emotion in EMOTIONS for level in (levels if emotion != "neutral" else [1])]


STYLES: tuple[tuple[str, int], ...] = tuple(styles(LEVELS))


@dataclass(frozen=True)
class Clip:
    """One clip of the corpus. speaker: number from 0; number: 1, 2, ... within the speaker's style."""

    speaker: int
    emotion: str
    level: int
    number: int


# Our own neutral sentences; together they hold every consonant and vowel of English several times.
SENTENCES: tuple[str, ...] = (
    "The small boat moved past the old stone bridge.",
    "Please put the brown box behind the open door.",
    "We keep a map of the valley above my desk.",
    "My brother bought five apples for the picnic.",
    "The bus to the museum leaves at half past three.",
    "She wrote both numbers on the back of the page.",
    "Two white horses walked slowly down the path.",
    "A warm breeze moved the paper by the window.",
    "They usually measure the garden before they plant.",
    "He will bring the blue umbrella if it rains.",
    "The baker opens the shop before the sun comes up.",
    "You can leave the heavy bags beside the piano.",
    "There is fresh bread and butter on the table.",
    "Bob and Mary share a room above the library.",
    "The pilot checked the map and called the tower.",
    "Our neighbour paints a fence every other summer.",
    "I thought the museum was closed on Monday.",
    "The children found a purple feather in the park.",
    "Put the camera on the shelf above the maps.",
    "A yellow taxi stopped outside the post office.",
    "The farmer moved his sheep across the road.",
    "Maybe we should wait for the evening boat.",
    "My father keeps his papers in an iron box.",
    "The choir will sing for about half an hour.",
    "Every week she visits the village by the sea.",
    "The bottom drawer has a pen and some paper.",
    "He put the empty bottle beside the water pump.",
    "You may borrow my book about rivers and boats.",
    "The lamp above the bed is very bright.",
    "Both shops on the corner sell paper and paint.",
    "They moved the big table into the other room.",
    "A cup of tea and a biscuit would be perfect.",
    "The train goes through a long and narrow valley.",
    "My mother measured the cloth before she cut it.",
    "We built a wooden box for the baby birds.",
    "The judge asked them to speak into the microphone.",
    "Several people wait for the bus near my house.",
    "The puppy jumped over a puddle in the yard.",
    "The famous painter lived above a vegetable shop.",
    "I usually buy apples, bananas and plums.",
)
