"""Style metrics: style accuracy (SA) and style code distance (SCD) (DreamTalk, section IV-A and IV-D)."""

from __future__ import annotations

import numpy as np
import torch

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.style_classifier import StyleClassifier


@torch.inference_mode()
def style_group(classifier: StyleClassifier, motion: np.ndarray) -> int:
    """The style group, as the classifier's class index, of a motion (n, D) of any length.

    Style accuracy is the share of clips whose generated motion falls into the group of the reference; groups are
    speaker × emotion × level, a choice of ours, as the paper's grouping is not published.
    """
    return int(classifier(torch.from_numpy(np.array(motion, dtype=np.float32))[None])[0].argmax())


@torch.inference_mode()
def style_code(denoiser: Denoiser, motion: np.ndarray) -> np.ndarray:
    """The style code (d,) that the denoiser's encoder extracts from the beginning of a motion (n, D)."""
    clip = np.array(motion[: denoiser.style_frames], dtype=np.float32)
    return denoiser.encode_style(torch.from_numpy(clip)[None])[0].numpy()


def style_code_distance(extracted: np.ndarray, predicted: np.ndarray) -> float:
    """SCD: L2 distance of two style codes, (d,); lower is better. Unit: that of the encoder's space."""
    return float(np.linalg.norm(extracted - predicted))
