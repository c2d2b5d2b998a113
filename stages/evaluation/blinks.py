"""Blinks: when people blink, and how lids move, added to expression coefficients.

Rate: people who talk blink 26 times a minute, at rest 17 (Bentivoglio et al. 1997, Movement Disorders 12(6)); pauses
between blinks are skewed, many short and some long, drawn here from a log-normal distribution. Lids close about twice
as fast as they open (VanderWerf et al. 2003, Journal of Neurophysiology 89(5)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from dreamtalk_models.closures import Closure
    from stages.params import Blink

OWN = 0.5  # of the median opening; lids below it blink by themselves
CALM_S = 0.4  # before and after a blink of the face's own that no other is added


def starts(seconds: float, settings: Blink, generator: np.random.Generator) -> list[float]:
    """When blinks begin, s; each ends before the video does."""
    lasts = settings.closing_s + settings.closed_s + settings.opening_s
    mean = 60 / settings.per_minute
    scale = np.log(mean) - settings.spread**2 / 2  # so that the mean pause is the mean
    found: list[float] = []
    time = mean * generator.uniform(0.2, 0.8)
    while time + lasts <= seconds:
        found.append(time)
        time += max(lasts, generator.lognormal(scale, settings.spread))
    return found


def closing(begun: list[float], frames: int, fps: float, settings: Blink) -> np.ndarray:
    """How far lids are closed in each frame, (frames,): 0 open, 1 closed."""
    time = np.arange(frames) / fps
    knots = np.cumsum([0, settings.closing_s, settings.closed_s, settings.opening_s])
    track = np.zeros(frames)
    for start in begun:
        share = np.interp(time - start, knots, [0, 1, 1, 0])
        track = np.maximum(track, share * share * (3 - 2 * share))
    return track


def blinking(expression: np.ndarray, eyes: Closure, fps: float, settings: Blink, seed: int) -> np.ndarray:
    """Expressions (n, D) that blink as people do; where the face blinks by itself already, nothing is added.

    Args:
        eyes: the lids of the face that will wear the expression.
    """
    found = torch.from_numpy(np.array(expression, np.float32))
    opening = eyes.gap(found).mean(-1).numpy()
    own = np.flatnonzero(opening < OWN * np.median(opening)) / fps
    lasts = settings.closing_s + settings.closed_s + settings.opening_s
    planned = [
        start
        for start in starts(len(expression) / fps, settings, np.random.default_rng([seed, 1]))
        if not ((own > start - CALM_S) & (own < start + lasts + CALM_S)).any()
    ]
    amount = closing(planned, len(expression), fps, settings).astype(np.float32)
    return eyes.close(found, torch.from_numpy(amount)).numpy()
