"""For each clip the other clips that training and evaluation set beside it: a portrait, and sound that is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

ALL = "all"


def portraits(table: pd.DataFrame) -> np.ndarray:
    """For each clip the next clip of its speaker in another style, or else of another video, or else any, or itself.

    Args:
        table: clip_id, speaker, style, together; in the order of clip_id, which "next" follows, round and round.
    """
    ordered = table.sort_values(["speaker", "clip_id"])
    ids = ordered["clip_id"].to_numpy()
    block = _starts(ordered["speaker"].to_numpy())
    chosen, found = np.arange(len(ids)), np.zeros(len(ids), bool)
    for differs in ("style", "together", "clip_id"):
        place, known = _next_other(block, ordered[differs].to_numpy())
        chosen, found = np.where(known & ~found, place, chosen), found | known
    return pd.Series(ids[chosen], index=ordered.index).loc[table.index].to_numpy()


def other_audio(table: pd.DataFrame) -> np.ndarray:
    """For each clip one whose sound is wrong for it, the nearest in length: of another style group, if possible of the
    same speaker and split, then of the same speaker, the same split, or anyone; else another clip of its speaker; the
    clip itself only if it is alone.

    Args:
        table: clip_id, speaker, split, style, frames.
    """
    table = table.assign(**{ALL: 0})
    result = pd.Series(pd.NA, index=table.index, dtype=object)
    for pool in (["speaker", "split"], ["speaker"], ["split"], [ALL]):
        result = result.fillna(_nearest(table, pool, "style"))
    return result.fillna(_nearest(table, ["speaker"], "clip_id")).fillna(table["clip_id"]).to_numpy()


def _next_other(block: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each place the next one in its block, round and round, whose value differs, and whether there is one."""
    first, owner = np.flatnonzero(block), np.cumsum(block) - 1
    begin, end = first[owner], np.append(first[1:], len(values))[owner]
    after = _run_ends(block | _starts(values))
    around = np.where(values[begin] != values, begin, after[begin])
    place = np.where(after < end, after, around)
    return np.minimum(place, len(values) - 1), place < end


def _nearest(table: pd.DataFrame, pool: list[str], differs: str) -> pd.Series:
    """For each row the clip_id of the row nearest in length, among those equal in the columns `pool`, that differs in
    one column; rows that have none are left out."""
    ordered = table.sort_values([*pool, "frames", "clip_id"])
    ids, frames = (ordered[name].to_numpy() for name in ("clip_id", "frames"))
    block = np.logical_or.reduce([_starts(ordered[name].to_numpy()) for name in pool])
    runs = block | _starts(ordered[differs].to_numpy())
    last, after = len(ids) - 1, _run_ends(runs)
    below = np.flatnonzero(runs)[np.cumsum(runs) - 1] - 1
    owner = np.cumsum(block)
    has_below = (below >= 0) & (owner[np.maximum(below, 0)] == owner)
    has_above = (after <= last) & (owner[np.minimum(after, last)] == owner)
    gap_below = np.where(has_below, frames - frames[np.maximum(below, 0)], np.inf)
    gap_above = np.where(has_above, frames[np.minimum(after, last)] - frames, np.inf)
    chosen, known = np.where(gap_below <= gap_above, below, after), has_below | has_above
    return pd.Series(ids[chosen[known]], index=ordered.index[known], dtype=object)


def _starts(values: np.ndarray) -> np.ndarray:
    """Where a run of equal values begins."""
    return np.append(True, values[1:] != values[:-1])


def _run_ends(starts: np.ndarray) -> np.ndarray:
    """For each place the place after the end of its run."""
    first = np.flatnonzero(starts)
    return np.append(first[1:], len(starts))[np.cumsum(starts) - 1]
