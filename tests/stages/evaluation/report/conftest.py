"""A run in small: every file that the report reads, with untrained networks and invented scores."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

from dreamtalk_models import checkpoints, face_topology
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert
from stages import params, tables
from stages.columns import write_shard
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import FaceMesh
from stages.features import overlay
from stages.features.fit_quality import MOTION

SIZE, FRAMES, FPS, RATE, DIM, AUDIO_DIM = 96, 45, 25, 16000, 8, 6
STYLES = (("angry", 3), ("happy", 1), ("neutral", None), ("sad", 2))
SPEAKERS = {"ada": "train", "ben": "train", "cleo": "val", "dora": "test", "emil": "test"}
TAKES = 2
VARIANTS = {  # how far from the truth
    "ground_truth": 0.0,
    "truth": 0.2,
    "full": 1.0,
    "full_pirenderer": 1.1,
    "other_audio": 1.8,
    "mean_motion": 2.0,
    "no_lip_expert": 1.3,
    "uncond_lip_expert": 1.2,
    "stranger_style": 1.7,
    "regression": 1.3,
    "predicted_full": 1.4,
    "predicted_no_speaker_info": 1.6,
    "predicted_no_cross_id": 1.9,
    "predicted_regression": 1.5,
}


@pytest.fixture(scope="session")
def settings(root: Path) -> params.Params:
    """The repository's parameters, with few clips in the report."""
    settings = params.load(root / "params.yaml")
    report = settings.report.model_copy(
        update={
            "guidance_scales": [0.0, 1.0, 2.0],
            "intensity_clips": 3,
            "intensity_pictures": 2,
            "gallery_clips": 2,
            "gallery_px": 64,
            "gallery_seconds": 0.8,
        }
    )
    lip_expert = settings.lip_expert.model_copy(update={"clip_frames": 5, "style_frames": 16, "style_frames_min": 8})
    evaluate = settings.evaluate.model_copy(update={"bootstrap": 50})
    generate = settings.generate.model_copy(update={"steps": 2})
    return settings.model_copy(
        update={"report": report, "lip_expert": lip_expert, "generate": generate, "evaluate": evaluate}
    )


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run in which every stage before the report has ended well. Tests only read it."""
    root = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    clips = _clips()
    _write_media(root, clips)
    _write_tables(root, clips)
    _write_features(root, clips, rng)
    _write_networks(root)
    test = [row["clip_id"] for row in clips if SPEAKERS[row["speaker"]] == "test"]
    _write_evaluation(root, test, rng)
    return root


def _clips() -> list[dict]:
    return [
        {"clip_id": f"{speaker}_{emotion}_{take}", "speaker": speaker, "emotion": emotion, "level": level}
        for speaker in SPEAKERS
        for emotion, level in STYLES
        for take in range(TAKES)
    ]


def _picture() -> np.ndarray:
    return cv2.resize(skimage.data.astronaut()[0:224, 112:336], (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _write_media(root: Path, clips: list[dict]) -> None:
    folder, scratch = root / "data/clips", root / "scratch"
    folder.mkdir(parents=True)
    scratch.mkdir()
    picture = _picture()
    sound = 0.1 * np.sin(np.arange(FRAMES * RATE // FPS) / 10).astype(np.float32)
    movie, wave = scratch / "clip.mp4", scratch / "clip.wav"
    write_mp4(movie, (np.roll(picture, i % 5, axis=1) for i in range(FRAMES)), FPS, sound, RATE)
    write_wav(wave, sound, RATE)
    with tarfile.open(folder / "shard-00000.tar", "w") as tar:
        for row in clips:
            for file in (movie, wave):
                member = tarfile.TarInfo(f"{row['clip_id']}{file.suffix}")
                member.size = file.stat().st_size
                tar.addfile(member, io.BytesIO(file.read_bytes()))
    for variant in VARIANTS:
        videos = root / "generated" / variant / "videos"
        videos.mkdir(parents=True)
        for row in clips:
            if SPEAKERS[row["speaker"]] == "test" and variant != "ground_truth":
                (videos / f"{row['clip_id']}.mp4").write_bytes(movie.read_bytes())


def _write_tables(root: Path, clips: list[dict]) -> None:
    rows = [
        {
            **row,
            "corpus": "toy",
            "source_file": f"{row['clip_id']}.mp4",
            "start_s": 0.0,
            "end_s": FRAMES / FPS,
            "frames": FRAMES,
            "fps": float(FPS),
            "width": SIZE,
            "height": SIZE,
            "audio_rate": RATE,
            "audio_s": FRAMES / FPS,
            "face_px": 60.0,
            "detection_rate": 0.98,
            "shard": "shard-00000.tar",
            "sha256": "0" * 64,
            "status": "ok",
        }
        for row in clips
    ]
    tables.write(tables.from_rows(rows, tables.CLIPS), tables.CLIPS, root / "data/clips/clips.parquet")
    rejected = [
        {"item_id": f"bad{i}", "stage": "crop", "reason": f"a face in only {10 + i} % of the frames"} for i in range(3)
    ]
    quarantine = tables.from_rows(rejected, tables.QUARANTINE)
    tables.write(quarantine, tables.QUARANTINE, root / "data/clips/quarantine.parquet")
    split = [
        {
            **row,
            "style": f"{row['speaker']}/{row['emotion']}/{row['level'] or 0}",
            "split": SPEAKERS[row["speaker"]],
            "portrait_clip_id": f"{row['speaker']}_neutral_0",
            "other_audio_clip_id": f"{row['speaker']}_sad_1",
        }
        for row in clips
    ]
    tables.write(tables.from_rows(split, tables.SPLIT), tables.SPLIT, root / "data/split.parquet")


def _face_model() -> FaceModel:
    """The photograph's own face, with expressions that mean nothing."""
    generator = torch.Generator().manual_seed(0)
    with FaceMesh(static=True) as mesh:
        found = mesh.landmarks(skimage.data.astronaut())
    mean = torch.tensor(found[: face_topology.VERTICES])
    mean = (mean - mean.mean(0)) / (mean[33] - mean[263]).norm()
    return FaceModel(
        mean=mean,
        identity_basis=torch.zeros(mean.numel(), 3),
        expression_basis=0.02 * torch.randn(mean.numel(), DIM, generator=generator),
        expression_std=torch.full((DIM,), 0.2),
        vertex_weights=torch.ones(len(mean)),
        triangles=torch.tensor(face_topology.triangles(FACEMESH_TESSELATION)),
    )


def _write_features(root: Path, clips: list[dict], rng: np.random.Generator) -> None:
    face = _face_model()
    (root / "models/face_model").mkdir(parents=True)
    face.save(root / "models/face_model/face_model.npz")
    place = np.tile(np.float32([SIZE / 2, SIZE / 3, np.log(SIZE / 3)]), (FRAMES, 1))
    still = np.zeros((FRAMES, 3), np.float32)
    motion, audio, landmarks = [], [], []
    for row in clips:
        expression = rng.normal(size=(FRAMES, DIM)).astype(np.float32).cumsum(0) / 20
        shape = face.project(torch.zeros(3), torch.tensor(expression), torch.tensor(still), torch.tensor(place)).numpy()
        irises = np.zeros((FRAMES, 10, 3), np.float32)
        motion.append(
            {
                "clip_id": row["clip_id"],
                "expression": expression,
                "identity": np.zeros(3, np.float32),
                "angles": still,
                "translation": place,
            }
        )
        audio.append({"clip_id": row["clip_id"], "features": rng.normal(size=(2 * FRAMES, AUDIO_DIM))})
        points = np.concatenate([shape, irises], axis=1).reshape(FRAMES, -1)
        landmarks.append({"clip_id": row["clip_id"], "landmarks": points})
    for name, rows in (("motion", motion), ("audio", audio), ("landmarks", landmarks)):
        write_shard(root / "data" / name / "shard-00000.arrow", rows)
    fits = tables.from_rows(
        [{"clip_id": row["clip_id"], "frames": FRAMES, "fit_rmse_px": 1.0 + i} for i, row in enumerate(clips)], MOTION
    )
    tables.write(fits, MOTION, root / "data/motion/motion.parquet")
    for name in overlay.CHOSEN:
        write_mp4(root / f"data/motion/overlay-{name}.mp4", [_picture()] * 3, FPS)


def _write_networks(root: Path) -> None:
    torch.manual_seed(0)
    small = {"d_model": 16, "heads": 2, "feedforward": 16, "layers": 1, "dropout": 0.0, "motion_dim": DIM}
    face = FaceModel.load(root / "models/face_model/face_model.npz")
    lip_dim = face.mouth_vertices(torch.zeros(DIM)).numel()
    networks = {
        "denoiser/full": Denoiser(**small, audio_dim=AUDIO_DIM, style_frames=16, lower=[0, 1], diffusion_steps=20),
        **{
            f"lip_expert/{name}": LipExpert(
                **small, lip_dim=lip_dim, audio_dim=AUDIO_DIM, style_frames=16, embedding=8, style_aware=aware
            )
            for name, aware in (("style_aware", True), ("unconditional", False))
        },
    }
    steps = np.arange(0, 200, 10)
    history = [(int(s), "train/loss", 1 / (1 + s / 30)) for s in steps] + [(190, "val/loss", 0.25)]
    for name, network in networks.items():
        folder = root / "models" / name
        folder.mkdir(parents=True)
        checkpoints.save(network, folder / "weights.safetensors")
        pd.DataFrame(history, columns=["step", "metric", "value"]).to_parquet(folder / "history.parquet")
        if name.startswith("lip_expert"):
            numbers = {
                f"{split}/balanced_accuracy{kind}": 0.9 for split in ("val", "test") for kind in ("", "_hard", "_easy")
            }
            metrics = root / "metrics" / f"{name}.json"
            metrics.parent.mkdir(parents=True, exist_ok=True)
            metrics.write_text(json.dumps({**numbers, "val/best_offset": 0, "test/best_offset": 0}))
    shares = {f"explained/{who}/{where}": 0.9 for who in ("train", "held_out") for where in ("all", "eyelids", "lips")}
    (root / "metrics/face_model.json").write_text(json.dumps(shares))
    (root / "metrics/fit.json").write_text(json.dumps({"identity_ratio": 0.41}))
    (root / "metrics/validate.json").write_text(json.dumps({"contracts": 80.0, "contracts_broken": 0.0}))


def _write_evaluation(root: Path, ids: list[str], rng: np.random.Generator) -> None:
    own = rng.normal(size=(len(ids), 8))  # some clips are harder than others, for all variants
    for variant, error in VARIANTS.items():
        noise = own + 0.5 * rng.normal(size=own.shape)
        scores = pd.DataFrame(
            {
                "clip_id": ids,
                "ssim": np.minimum(1 - 0.1 * error + 0.02 * noise[:, 0], 1),
                "cpbd": 0.3 - 0.05 * error + 0.02 * noise[:, 1],
                "f_lmd": np.abs(2 * error + 0.2 * noise[:, 2]),
                "m_lmd": np.abs(2.5 * error + 0.2 * noise[:, 3]),
                "sync_conf_corpus": 4 - error + 0.3 * noise[:, 4],
                "sa": (rng.random(len(ids)) > 0.3 * error).astype(float),
                "sa_chance": 1 / 88,
                "md": np.abs(0.2 * error + 0.01 * noise[:, 5]),
                "id_sim_corpus": np.minimum(1 - 0.1 * error + 0.01 * noise[:, 7], 1),
                "face_rate": 1.0,
                "reason": "",
            }
        )
        if variant.startswith("predicted"):
            scores["scd"] = np.abs(0.4 * error + 0.02 * noise[:, 6])
        scores.loc[0, "sync_conf_corpus"] = np.nan
        folder = root / "evaluation" / variant
        folder.mkdir(parents=True)
        scores.to_parquet(folder / "per_clip.parquet")
    absent = {"sync_conf": "no weights were given", "csim": "no ArcFace network was given"}
    (root / "evaluation/full/absent.json").write_text(json.dumps(absent))
