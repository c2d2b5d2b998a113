"""Which clips are shown."""

from __future__ import annotations

from collections import Counter

import pandas as pd


def spread(clips: pd.DataFrame, count: int) -> list[str]:
    """`count` clip ids as different as can be: rare emotions first, then rare speakers, then strong levels.

    "Rare" is among those already chosen; neutral and unknown emotions come last.

    Args:
        clips: rows with clip_id, speaker, emotion and level (both may be null). Their order does not matter.
    """
    rest = {
        row.clip_id: (
            "neutral" if pd.isna(row.emotion) else row.emotion,
            row.speaker,
            0 if pd.isna(row.level) else int(row.level),
        )
        for row in clips.sort_values("clip_id").itertuples()
    }
    emotions: Counter[str] = Counter(neutral=1)
    speakers: Counter[str] = Counter()
    chosen: list[str] = []
    while rest and len(chosen) < count:

        def cost(clip_id: str) -> tuple[int, int, int]:
            emotion, speaker, level = rest[clip_id]
            return emotions[emotion], speakers[speaker], -level

        clip_id = min(rest, key=cost)
        emotion, speaker, _ = rest.pop(clip_id)
        emotions[emotion] += 1
        speakers[speaker] += 1
        chosen.append(clip_id)
    return chosen
