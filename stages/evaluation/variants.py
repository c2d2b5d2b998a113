"""What the ablations vary: for each test clip of a variant, the motion that its talking head makes.

Of each clip the inputs are its sound, its first frame and its pose track; the style reference is the second half of its
own motion (the published protocol takes another segment of the test clip), a clip of another speaker (as the paper's
table II has it), or the style predictor's code for its voice and the face of another clip of the speaker. All variants
of a clip start from the same noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.regressor import Regressor
from dreamtalk_models.style_predictor import StylePredictor
from stages.columns import Columns
from stages.evaluation.motion import Motion, Pose
from stages.evaluation.talking_head import device, predicted_code, reference_code, seed_of, speak
from stages.features.audio import windows
from stages.params import Generate


@dataclass(frozen=True)
class Variant:
    """How a variant differs from `full`, which is the default of every field."""

    motion: Literal["generated", "truth", "mean"] = "generated"
    sound: Literal["own", "other"] = "own"  # that the motion is made from; the video keeps its own
    style: Literal["own", "stranger"] = "own"  # whose clip the reference is
    generator: str = "denoiser/full"  # a folder of models/
    predictor: str | None = None  # None: the style comes from the reference
    renderer: Literal["mesh_warp", "pirenderer"] | None = None  # None: the parameters' choice


VARIANTS = {
    "truth": Variant(motion="truth"),
    "mean_motion": Variant(motion="mean"),
    "other_audio": Variant(sound="other"),
    "full": Variant(),
    "full_pirenderer": Variant(renderer="pirenderer"),
    "stranger_style": Variant(style="stranger"),
    "no_lip_expert": Variant(generator="denoiser/no_lip_expert"),
    "uncond_lip_expert": Variant(generator="denoiser/uncond_lip_expert"),
    "regression": Variant(generator="regressor"),
    "predicted_full": Variant(predictor="full"),
    "predicted_no_speaker_info": Variant(predictor="no_speaker_info"),
    "predicted_no_cross_id": Variant(predictor="no_cross_id"),
    "predicted_regression": Variant(predictor="regression"),
}
GENERATORS = {"denoiser": Denoiser, "regressor": Regressor}  # by the folder of models/ that holds them


@dataclass(frozen=True)
class Take:
    """One clip's motion, and the style code (d,) it was made with."""

    clip_id: str
    motion: Motion
    style_code: np.ndarray


def chosen(split: pd.DataFrame, *most: int) -> pd.DataFrame:
    """At most `most` test clips of split.parquet, evenly over the style groups, sorted by clip_id.

    Several numbers choose one after the other: who is asked for fewer gets some of what the others get.

    Raises:
        ValueError: there is no test clip.
    """
    test = split[split["split"] == "test"].sort_values(["style", "clip_id"])
    if test.empty:
        raise ValueError("data/split.parquet has no test clip: give the corpus more speakers, or see section split")
    for count in most:
        test = test.iloc[np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int)]
    return test.sort_values("clip_id")


def strangers(split: pd.DataFrame, clips: pd.DataFrame) -> dict[str, str]:
    """For each of `clips` a clip of another speaker, its style reference: in the same emotion, at the same level and
    among the test clips, as far as there is one, in this order of weight.

    The clips take turns with those that suit them. Where all clips have one speaker, a clip stands for itself.

    Args:
        split: split.parquet. clips: some of its rows.
    """
    everyone = split.sort_values("clip_id")
    found = {}
    for turn, clip in enumerate(clips.sort_values("clip_id").itertuples()):
        pool = everyone[everyone["speaker"] != clip.speaker]
        for wish in (pool["emotion"] == clip.emotion, pool["level"] == clip.level, pool["split"] == "test"):
            narrower = pool[wish.reindex(pool.index)]
            pool = pool if narrower.empty else narrower
        found[clip.clip_id] = clip.clip_id if pool.empty else pool["clip_id"].iloc[turn % len(pool)]
    return found


class Performer:
    """The networks of a variant, and the features they work on.

    Args:
        data: folder of motion/, audio/ and split.parquet. models: folder of the trained networks.
        seed: of all noise.

    Raises:
        FileNotFoundError: a network or a folder of features is missing.
    """

    def __init__(self, variant: Variant, settings: Generate, seed: int, data: Path, models: Path) -> None:
        self.variant, self.settings, self.seed = variant, settings, seed
        self.motion, self.audio = Columns(data / "motion"), Columns(data / "audio")
        kind = GENERATORS[variant.generator.partition("/")[0]]
        self.network = checkpoints.load(models / variant.generator / "weights.safetensors", kind).to(device())
        self.predictor = None
        if variant.predictor:
            path = models / "style_predictor" / variant.predictor / "weights.safetensors"
            self.predictor = checkpoints.load(path, StylePredictor).to(device())

    def takes(self, split: pd.DataFrame) -> Iterator[Take]:
        """A take of every test clip that `settings` asks for, in order of clip_id; `split` is split.parquet."""
        mean = self._mean_expression(split) if self.variant.motion == "mean" else None
        most = [self.settings.max_clips]
        if (self.variant.renderer or self.settings.renderer) == "pirenderer":
            most.append(self.settings.pirenderer_clips)
        clips = chosen(split, *most)
        references = strangers(split, clips) if self.variant.style == "stranger" else {}
        for clip in clips.itertuples():
            own = self.motion[clip.clip_id]
            code = self._style_code(clip, references.get(clip.clip_id, clip.clip_id))
            if self.variant.motion == "truth":
                expression = own["expression"]
            elif mean is not None:
                expression = np.tile(mean, (len(own["expression"]), 1))
            else:
                expression = self._speak(clip, code, len(own["expression"]))
            yield Take(clip.clip_id, Motion(expression, Pose(own["angles"], own["translation"])), code)

    def _style_code(self, clip: tuple, reference: str) -> np.ndarray:
        if self.predictor is None:
            expression = self.motion[reference]["expression"]
            own_half = len(expression) // 2 if reference == clip.clip_id else 0
            return reference_code(self.network, expression[own_half:])
        voice = self.audio[clip.clip_id]["features"]
        identity = self.motion[clip.portrait_clip_id]["identity"]
        seed = seed_of(self.seed, clip.clip_id)
        return predicted_code(self.predictor, voice, identity, steps=self.settings.style_steps, seed=seed)

    def _speak(self, clip: tuple, code: np.ndarray, frames: int) -> np.ndarray:
        source = clip.clip_id if self.variant.sound == "own" else clip.other_audio_clip_id
        features = self.audio[source]["features"]
        features = features[np.arange(2 * frames) % len(features)]  # another clip's sound may be shorter
        return speak(
            self.network,
            windows(features, self.network.config["window"]),
            code,
            steps=self.settings.steps,
            guidance=self.settings.guidance,
            method=self.settings.method,
            seed=seed_of(self.seed, clip.clip_id),
        )

    def _mean_expression(self, split: pd.DataFrame) -> np.ndarray:
        train = sorted(split["clip_id"][split["split"] == "train"])
        return np.concatenate([self.motion[clip_id]["expression"] for clip_id in train]).mean(0)
