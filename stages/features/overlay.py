"""Fitted meshes drawn over the pictures that they were fitted to: of a corpus, the best, the median and the worst."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from dreamtalk_models.face_model import FaceModel
from stages.corpus.encode import write_mp4
from stages.corpus.media import Clips
from stages.features.landmark_fit import mesh_px
from stages.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_BITS = 4  # fractional bits of drawn coordinates
GREEN = (0, 255, 0)
CHOSEN = ("best", "median", "worst")


def with_mesh(frame: np.ndarray, mesh: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with the edges of a mesh (V, 2 or more) px on it; a side that is odd loses a pixel."""
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    lines = (mesh[triangles][..., :2] * 2**LINE_BITS).round().astype(np.int32)
    return cv2.polylines(frame[:height, :width].copy(), list(lines), True, GREEN, 1, cv2.LINE_AA, LINE_BITS)


def chosen(table: pd.DataFrame) -> dict[str, str]:
    """The clips of motion.parquet whose fit error is best, median and worst: clip_id by that word."""
    ordered = table.sort_values(["fit_rmse_px", "clip_id"], ignore_index=True)["clip_id"]
    return dict(zip(CHOSEN, ordered.iloc[[0, len(ordered) // 2, -1]], strict=True))


def figure(model: FaceModel, clips: Clips, motion: Mapping[str, dict], table: pd.DataFrame) -> Figure:
    """The worst frame of each of the :func:`chosen` clips."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(1, 3, figsize=(12, 4.4))
    for axis, (name, clip_id) in zip(axes, chosen(table).items(), strict=True):
        fitted = motion[clip_id]
        frame = int(fitted["fit_rmse_px"].argmax())
        picture = clips.frames(clip_id, [frame])[0]
        axis.imshow(with_mesh(picture, mesh_px(model, fitted)[frame], model.triangles.numpy()))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{name}: {fitted['fit_rmse_px'][frame]:.2f} px\n{clip_id} #{frame}", fontsize=8)
    drawn.tight_layout()
    return drawn


def videos(model: FaceModel, clips: Clips, motion: Mapping[str, dict], table: pd.DataFrame, out: Path) -> list[Path]:
    """Write out/overlay-best.mp4, -median.mp4 and -worst.mp4: the :func:`chosen` clips with their meshes."""
    paths = []
    for name, clip_id in chosen(table).items():
        frames = zip(clips.frames(clip_id), mesh_px(model, motion[clip_id]), strict=True)
        paths.append(out / f"overlay-{name}.mp4")
        with atomic_path(paths[-1]) as tmp:
            drawn = (with_mesh(frame, mesh, model.triangles.numpy()) for frame, mesh in frames)
            write_mp4(tmp, drawn, round(clips.table.loc[clip_id, "fps"]))
    return paths
