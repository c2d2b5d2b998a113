"""The space of style codes (the paper's figure 13): a map of it, and how pure its neighbourhoods are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Purity:
    """How often a clip's nearest neighbours share its label.

    Attributes:
        shares: (n,) of each clip's neighbours, 0 to 1; nan where a clip has nothing to be compared with.
        chance: their mean for neighbours drawn at random.
    """

    shares: np.ndarray
    chance: float

    @property
    def mean(self) -> float:
        return float(np.nanmean(self.shares))


def silhouette(codes: np.ndarray, labels: Sequence[str]) -> float:
    """Mean silhouette of codes (n, d) in groups of equal label, Euclidean (Rousseeuw 1987): 1 far apart, 0 overlapping,
    negative where other groups are nearer. Needs 2 to n - 1 groups."""
    return float(silhouette_score(codes, labels))


def tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    """Style codes (n, d) on a plane (n, 2): van der Maaten and Hinton's t-SNE, started from the principal axes.

    One thread, since the order of its sums would otherwise change the last digits from run to run.
    """
    perplexity = min(30.0, (len(codes) - 1) / 3)
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(np.float64(codes))


def purity(codes: np.ndarray, labels: Sequence[str], neighbours: int, apart: Sequence[str] | None = None) -> Purity:
    """Share of the `neighbours` nearest codes (Euclidean) that carry the clip's own label.

    Args:
        codes: (n, d).
        labels: n labels, one a code.
        apart: n group names; only neighbours of *another* group count. None: all others count.

    Raises:
        ValueError: no clip has anything to be compared with.
    """
    names = np.asarray(labels)
    groups = np.arange(len(names)) if apart is None else np.asarray(apart)
    order = NearestNeighbors(n_neighbors=len(codes) - 1).fit(codes).kneighbors(return_distance=False)
    shares, chances = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    for clip, near in enumerate(order):
        others = near[groups[near] != groups[clip]]
        if others.size:
            same = names[others] == names[clip]
            shares[clip], chances[clip] = same[:neighbours].mean(), same.mean()
    if np.isnan(shares).all():
        raise ValueError("all style codes belong to one group: there is nothing to compare")
    return Purity(shares, float(np.nanmean(chances)))
