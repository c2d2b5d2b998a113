"""Stage `generate`: the talking heads of one variant (see :mod:`stages.evaluation.variants`) as videos.

The portrait is the test clip's first frame with the identity and pose that the clip was fitted with; rendering and
encoding run in worker processes, a few clips at a time.
"""

# Worker processes import this module to warp and encode: what they do not need is imported where it is used.
from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages import columns, shards, tables
from stages.corpus.media import Clips
from stages.evaluation import marks
from stages.evaluation.portrait import MESH_POINTS, Portrait
from stages.files import fresh_dir, sha256

if TYPE_CHECKING:
    from stages.evaluation.variants import Take
    from stages.params import Params

SHARD_CLIPS = 4
CODE = (  # what decides a shard's bytes
    "dreamtalk_models",
    "stages/corpus/decode.py",
    "stages/corpus/encode.py",
    "stages/corpus/faces.py",
    "stages/corpus/media.py",
    "stages/evaluation",
    "stages/features",
)
DATA, MODELS, OUT = Path("data"), Path("models"), Path("generated")


def film_warped(
    folder: Path, clips: Path, watermark: bool, background: str, work: list[tuple[str, np.ndarray, np.ndarray]]
) -> None:
    """Videos folder/<clip_id>.mp4 by mesh warp, from (clip_id, landmarks of the first frame, target landmarks)."""
    from dreamtalk_models.renderers.mesh_warp import MeshWarper

    media = Clips(clips)
    for clip_id, landmarks, targets in work:
        warper = MeshWarper(media.frames(clip_id, [0])[0], landmarks, background=background)
        _encode(folder / f"{clip_id}.mp4", map(warper.frame, targets), media, clip_id, watermark)


def film_drawn(
    folder: Path,
    clips: Path,
    watermark: bool,
    weights: Path,
    radius: int,
    size: int,
    work: list[tuple[str, np.ndarray]],
) -> None:
    """Videos folder/<clip_id>.mp4 by PIRenderer, from (clip_id, driving coefficients (n, D + 9))."""
    import torch

    from dreamtalk_models import checkpoints
    from dreamtalk_models.renderers.pirenderer import PIRenderer
    from stages.evaluation.rendering import draw
    from stages.evaluation.talking_head import device

    torch.set_num_threads(1)
    network = checkpoints.load(weights, PIRenderer).to(device())
    media = Clips(clips)
    for clip_id, driving in work:
        frames = draw(network, media.frames(clip_id, [0])[0], driving, radius, size)
        _encode(folder / f"{clip_id}.mp4", frames, media, clip_id, watermark)


def _encode(path: Path, frames: Iterator[np.ndarray], media: Clips, clip_id: str, watermark: bool) -> None:
    row, sound = media.table.loc[clip_id], media.audio(clip_id)
    note = marks.provenance(portrait_and_voice=row["sha256"])
    marks.write_head(path, frames, round(row["fps"]), sound, int(row["audio_rate"]), note=note, watermark=watermark)


def film(takes: list[Take], name: str, renderer: str, settings: Params, data: Path, models: Path, out: Path) -> None:
    """Render and encode a variant's takes as out/<clip_id>.mp4; an interrupted run's finished shards stay done."""
    clips, mark = data / "clips", settings.generate.watermark
    if renderer == "pirenderer":
        from stages.evaluation.rendering import driving

        weights = models / "renderer" / "weights.safetensors"
        function, fixed = film_drawn, (clips, mark, weights, settings.renderer.radius, settings.renderer.size)
        version = [renderer, mark, sha256(weights), *fixed[3:]]
        work = [(take.clip_id, driving(take.motion)) for take in takes]
    else:
        background = settings.generate.background
        function, fixed, version = film_warped, (clips, mark, background), [renderer, mark, background]
        work = _warp_work(takes, data, models)
    code = shards.code_version(*CODE)
    media = Clips(clips)
    groups = shards.split_in_shards(work, SHARD_CLIPS)
    contents = [[(clip, media.digests(clip), *map(_digest, arrays)) for clip, *arrays in group] for group in groups]
    keys = [shards.shard_key(code, version, content) for content in contents]
    jobs = [(*fixed, group) for group in groups]
    for folder in shards.run_shards(function, jobs, keys, f"generate/{name}", executor=settings.executor):
        for path in sorted(folder.glob("*.mp4")):
            shutil.copyfile(path, out / path.name)


def _warp_work(takes: list[Take], data: Path, models: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    from dreamtalk_models.face_model import FaceModel
    from stages.evaluation.rendering import landmark_targets

    model = FaceModel.load(models / "face_model" / "face_model.npz")
    motion, landmarks = columns.Columns(data / "motion"), columns.Columns(data / "landmarks")
    work = []
    for take in takes:
        fitted = motion[take.clip_id]
        points = landmarks[take.clip_id]["landmarks"][0].reshape(-1, 3)[:MESH_POINTS]
        first = [fitted[name][0] for name in ("expression", "angles", "translation")]
        portrait = Portrait(points, fitted["identity"], *first)
        work.append((take.clip_id, points, landmark_targets(model, portrait, take.motion)))
    return work


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def run(name: str, settings: Params, data: Path, models: Path, out: Path) -> dict[str, float]:
    """Make out/videos/<clip_id>.mp4 and out/motion.arrow (expression (n, D) and style_code (d,) of each clip).

    Returns:
        clips and frames, how many; jitter, the mean over clips of the root mean square second difference in time of
        the expression coefficients.
    """
    from stages.evaluation.variants import VARIANTS, Performer

    variant, generate = VARIANTS[name], settings.generate
    renderer = variant.renderer or generate.renderer
    takes = list(Performer(variant, generate, settings.seed, data, models).takes(tables.read(data / "split.parquet")))
    fresh_dir(out)
    (out / "videos").mkdir()
    film(takes, name, renderer, settings, data, models, out / "videos")
    rows = [{columns.KEY: t.clip_id, "expression": t.motion.expression, "style_code": t.style_code} for t in takes]
    columns.write_shard(out / "motion.arrow", rows)
    return {
        "clips": len(takes),
        "frames": sum(len(take.motion) for take in takes),
        "jitter": float(np.mean([_jitter(take.motion.expression) for take in takes])),
    }


def _jitter(expression: np.ndarray) -> float:
    return float(np.sqrt(np.square(np.diff(expression, 2, axis=0)).mean())) if len(expression) > 2 else 0.0


def main(variant: str) -> None:
    from stages import params, tracking
    from stages.program import one_line_errors

    out = OUT / variant
    metrics = Path("metrics") / "generate" / f"{variant}.json"
    with one_line_errors("generate", ValueError):
        settings = params.load()
        with tracking.stage_run("generate", settings, ["generate"], variant=variant, out=out, metrics=metrics) as stage:
            stage.summary(run(variant, settings, DATA, MODELS, out))


def _main() -> None:
    import argparse

    from stages.evaluation.variants import VARIANTS

    parser = argparse.ArgumentParser(description=__doc__, prog="python -m stages.evaluation.generate")
    parser.add_argument("variant", choices=VARIANTS)
    main(parser.parse_args().variant)


if __name__ == "__main__":
    _main()
