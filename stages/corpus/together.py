"""Which clips belong together, so that no split may part them: pieces of one video, views of one sentence."""

from __future__ import annotations

import pandas as pd

from stages import tables

MEAD_SENTENCE = r"(?:^|_)[MW]\d{3}_\w+?_level[123]_(\d+)(?:_p\d+)?$"


class MeadError(ValueError):
    """A corpus that should be MEAD is not; the text names the clips."""


def styles(clips: pd.DataFrame) -> pd.Series:
    """The style group of each clip: M030/angry/3, or M030/unknown/0 where the emotion is not known."""
    level = clips["level"].where(clips["emotion"].notna()).fillna(0).astype(int).astype(str)
    return clips["speaker"].astype(str) + "/" + clips["emotion"].fillna("unknown").astype(str) + "/" + level


def videos(clips: pd.DataFrame) -> pd.Series:
    """What each clip was cut from, as text: its speaker and its source file, or its item where no file is known.

    Two people who speak in one video may be parted; the pieces of what one of them says may not.
    """
    source = clips["source_file"].fillna(tables.item_of(clips["clip_id"]))
    return clips["speaker"].astype(str) + " in " + source.astype(str)


def sentences(clips: pd.DataFrame) -> pd.Series:
    """The MEAD sentence that each clip shows, in whatever view: "M030/angry/3 sentence 001".

    Raises:
        MeadError: a clip's id is not like M030_front_angry_level3_001, or its emotion is not known.
    """
    number = clips["clip_id"].str.extract(MEAD_SENTENCE)[0]
    foreign = sorted(clips.loc[number.isna() | clips["emotion"].isna(), "clip_id"])
    if foreign:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise MeadError(
            "split.protocol mead_sentences needs clips named as M030_front_angry_level3_001, with their emotion; "
            f"it cannot place {', '.join(foreign[:5])}{more}"
        )
    return styles(clips) + " sentence " + number


def kept_together(clips: pd.DataFrame, protocol: str) -> pd.Series:
    """The sentence under the protocol mead_sentences, else the video."""
    return sentences(clips) if protocol == "mead_sentences" else videos(clips)
