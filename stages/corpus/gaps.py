"""Tracks of values with gaps, such as the landmarks of frames in which no face was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def bridged(rows: Sequence[np.ndarray | None] | np.ndarray) -> np.ndarray:
    """(n, ...): rows that are absent (None, or NaN) lie on the line between neighbours; ends are held.

    Raises:
        ValueError: all rows are absent.
    """
    first = next((row for row in rows if row is not None), None)
    if first is None:
        raise ValueError("all rows are absent")
    values = np.stack([np.full_like(first, np.nan) if row is None else row for row in rows])
    flat = pd.DataFrame(values.reshape(len(values), -1)).interpolate(limit_direction="both")
    return flat.to_numpy(values.dtype).reshape(values.shape)
