"""Fit the identity judge to the training speakers' own faces: it stands in for ArcFace, whose weights are not shipped.

What it is worth is measured on speakers whom it has never seen (val and test): a portrait against the faces of another
clip, of the same speaker or of another one. Where fewer than three speakers train there is no such judge; the stage
says so, and evaluation goes without.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dreamtalk_models.identity_judge import LEAST_SPEAKERS, IdentityJudge, fit
from stages.columns import Columns
from stages.corpus.media import Clips
from stages.evaluation.metrics.identity import aligned_faces
from stages.evaluation.metrics.landmark_distance import landmarks68
from stages.progress import track
from stages.shards import workers
from stages.training import data, figures
from stages.training.session import CLIPS, LANDMARKS, SPLIT, read_split, session


def faces_of(clip_id: str, media: Clips, landmarks: Columns, count: int) -> np.ndarray:
    """(m, 112, 112, 3) uint8 aligned faces of frames spread over a clip, the first frame's first; m ≤ `count`."""
    points = landmarks[clip_id]["landmarks"]
    frames = np.unique(np.linspace(0, len(points) - 1, count).round().astype(int))
    mesh = points[frames].reshape(len(frames), -1, 3)
    return aligned_faces(media.frames(clip_id, frames.tolist()), landmarks68(mesh))


def gather(clip_ids: Iterable[str], media: Clips, landmarks: Columns, count: int) -> list[np.ndarray]:
    """The faces of each clip, (m, 112, 112, 3)."""
    clip_ids = list(clip_ids)
    for clip_id in clip_ids:
        media.member(clip_id, "mp4")  # threads share the table of contents
    one = partial(faces_of, media=media, landmarks=landmarks, count=count)
    with ThreadPoolExecutor(workers()) as pool:
        return list(track(pool.map(one, clip_ids), "faces", total=len(clip_ids)))


@torch.no_grad()
def likeness(judge: IdentityJudge, clips: list[np.ndarray]) -> Tensor:
    """(n, n): mean cosine of the faces of clip i with the first face of clip j, as CSIM has it."""
    found = [judge(torch.from_numpy(faces)) for faces in clips]
    return torch.stack([one.mean(0) for one in found]) @ torch.stack([one[0] for one in found]).T


def worth(likeness: np.ndarray, speakers: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """How well likeness (n, n) of clips tells their speakers (n,) apart: numbers, and the likenesses by kind.

    `same_clip`, `same_speaker` (in another clip) and `other_speaker` are means; `auc` is the chance that another clip
    of the speaker is more alike than one of somebody else, where there are both.
    """
    same, own = speakers[:, None] == speakers, np.eye(len(speakers), dtype=bool)
    kinds = {"same_clip": likeness[own], "same_speaker": likeness[same & ~own], "other_speaker": likeness[~same]}
    numbers = {name: float(values.mean()) for name, values in kinds.items() if len(values)}
    pairs = ~own
    if len(kinds["same_speaker"]) and len(kinds["other_speaker"]):
        numbers["auc"] = float(roc_auc_score(same[pairs], likeness[pairs]))
    return numbers, kinds


def main() -> None:
    with session("train_identity_judge", "identity_judge", inputs=(SPLIT, CLIPS, LANDMARKS)) as s:
        torch.set_num_threads(1)  # how many threads add up decides the last digits
        p = s.params.identity_judge
        split = read_split(s.run)
        media, landmarks = Clips(CLIPS), Columns(LANDMARKS)
        train, held_out = split[split["split"] == "train"], split[split["split"].isin(["val", "test"])]
        s.run.summary({"speakers": train["speaker"].nunique()})
        if train["speaker"].nunique() < LEAST_SPEAKERS:
            print(f"train_identity_judge: fewer than {LEAST_SPEAKERS} speakers to learn from: no judge of identity")
            return
        speaker = split.set_index("clip_id")["speaker"]
        chosen = data.spread(train, p.clips)
        clips = gather(chosen, media, landmarks, p.faces_per_clip)
        numbered = pd.factorize(speaker[chosen], sort=True)[0].repeat([len(faces) for faces in clips])
        faces = torch.from_numpy(np.concatenate(clips))
        judge = fit(faces, torch.from_numpy(numbered), size=p.size, components=p.components, shrinkage=p.shrinkage)
        s.save(judge)

        tested = data.spread(held_out, max(2, p.clips // 2))
        clips = gather(tested, media, landmarks, p.faces_per_clip)
        numbers, kinds = worth(likeness(judge, clips).numpy(), speaker[tested].to_numpy())
        unseen = ~held_out["speaker"].isin(train["speaker"])
        s.run.summary({"faces": len(faces), "held_out/clips": len(tested)})
        s.run.summary({"held_out/speakers": held_out.loc[unseen, "speaker"].nunique()})
        s.run.summary({f"held_out/{name}": value for name, value in numbers.items()})
        shown = {name.replace("_", " "): values for name, values in kinds.items() if len(values)}
        s.run.figure("likeness", figures.shares(shown, "cosine with the portrait", "Identity judge, held out"))


if __name__ == "__main__":
    main()
