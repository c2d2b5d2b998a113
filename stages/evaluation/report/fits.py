"""How good the fits of the face model are, in tables."""

from __future__ import annotations

import pandas as pd

FIT_COLUMNS = {
    "fit_rmse_px": "fit error, px",
    "jitter_px": "jitter of the fit in a still face, px",
    "landmark_jitter_px": "jitter of the landmarks, px",
    "mouth_velocity": "speed of the lips that is kept",
    "identity_gap": "identity, first half against second, deviations over speakers",
    "filled_frames": "frames without a face",
    "failed_frames": "frames whose fit failed",
}


def per_clip(table: pd.DataFrame) -> pd.DataFrame:
    """Median, least and greatest over clips of what motion.parquet says of each clip's fit; empty where it says
    nothing, as of imported coefficients."""
    rows = [
        {"per clip": label, **{name: getattr(table[column].astype(float), name)() for name in ("median", "min", "max")}}
        for column, label in FIT_COLUMNS.items()
        if table[column].notna().any()
    ]
    return pd.DataFrame(rows).round(3)


def explained(shares: dict[str, float]) -> pd.DataFrame:
    """The face model's share of the variance of expression, by whose: "explained/<who>/<where>" → a table."""
    places = sorted({name.split("/")[2] for name in shares})
    names = {"train": "speakers it was learned from", "held_out": "held-out speakers"}
    rows = [
        {"share of the variance explained": label} | {place: shares[f"explained/{who}/{place}"] for place in places}
        for who, label in names.items()
        if f"explained/{who}/all" in shares
    ]
    return pd.DataFrame(rows).round(3)
