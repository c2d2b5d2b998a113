"""A tiny repository in which heads can talk: toy face model of a real face, untrained small networks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from skimage.data import astronaut

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.regressor import Regressor
from dreamtalk_models.renderers.mesh_warp import face_mesh_triangles
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.style_predictor import StylePredictor
from stages import tables
from stages.columns import write_shard
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.faces import FaceMesh
from stages.files import sha256

RATE, BANDS, DIMS, IDENTITY = 16000, 8, 4, 3
SIZES = {"d_model": 16, "heads": 2, "feedforward": 16, "layers": 1, "dropout": 0.0}


def face() -> tuple[np.ndarray, np.ndarray]:
    """A real face, (256, 256, 3) uint8, and its landmarks (478, 3) px."""
    picture = np.ascontiguousarray(astronaut()[0:256, 96:352])
    with FaceMesh(static=True) as mesh:
        return picture, mesh.landmarks(picture)


def face_model(landmarks: np.ndarray) -> FaceModel:
    """The face itself as the mean; identities scale it, expressions open the mouth, and wiggle."""
    points = torch.from_numpy(landmarks[:468])
    mean = (points - points.mean(0)) / (points[33] - points[263]).norm()
    generator = torch.Generator().manual_seed(0)
    jaw = torch.stack([torch.zeros(468), mean[:, 1].clamp(min=0), torch.zeros(468)], 1).flatten()
    wiggles = 0.01 * torch.randn(3 * 468, DIMS - 1, generator=generator)
    return FaceModel(
        mean=mean,
        identity_basis=torch.stack([mean.flatten() * s for s in (0.1, 0.05, 0.02)], 1),
        expression_basis=torch.cat([0.1 * jaw[:, None], wiggles], 1),
        expression_std=torch.full((DIMS,), 0.2),
        vertex_weights=torch.ones(468),
        triangles=torch.from_numpy(face_mesh_triangles()).long(),
    )


def lively_model(landmarks: np.ndarray) -> FaceModel:
    """The face with expressions that open its mouth, shut its eyes, and lift all of it; the fourth does nothing."""
    plain = face_model(landmarks)
    basis = torch.zeros(468, 3, 4)
    basis[:, 1, 0] = (plain.mean[:, 1] > plain.mean[13, 1] + 1e-6) * 0.1
    basis[[160, 158, 385, 387], 1, 1] = 0.1
    basis[:, 1, 2] = 0.1
    std = torch.tensor([0.2, 0.2, 0.2, 0.0])
    rest = {"vertex_weights": plain.vertex_weights, "triangles": plain.triangles}
    return FaceModel(plain.mean, plain.identity_basis, basis.flatten(0, 1), std, **rest)


def networks(models: Path, landmarks: np.ndarray) -> None:
    """Everything below models/ that a talking head needs."""
    torch.manual_seed(0)
    made = {
        "denoiser": Denoiser(motion_dim=DIMS, audio_dim=BANDS + 3, style_frames=16, decoder="single", **SIZES),
        "style_predictor": StylePredictor(
            style_dim=16, audio_dim=BANDS + 3, identity_dim=IDENTITY, audio_tokens=4, **SIZES
        ),
    }
    for kind, network in made.items():
        for variant in ("full", "no_lip_expert", "uncond_lip_expert", "no_speaker_info", "no_cross_id", "regression"):
            folder = models / kind / variant
            folder.mkdir(parents=True)
            checkpoints.save(network, folder / "weights.safetensors")
    (models / "regressor").mkdir()
    regressor = Regressor(motion_dim=DIMS, audio_dim=BANDS + 3, style_frames=16, decoder="single", **SIZES)
    checkpoints.save(regressor, models / "regressor" / "weights.safetensors")
    (models / "renderer").mkdir()
    renderer = PIRenderer(driving_dim=DIMS + 9, descriptor=8, warp_channels=4, edit_channels=4, max_channels=8)
    checkpoints.save(renderer, models / "renderer" / "weights.safetensors")
    (models / "face_model").mkdir()
    face_model(landmarks).save(models / "face_model" / "face_model.npz")


def parameters(root: Path, repository: Path) -> None:
    """params.yaml of the repository, with sizes that fit the networks here."""
    content = yaml.safe_load((repository / "params.yaml").read_text())
    content["audio"] |= {"features": "logmel", "mel_bands": BANDS}
    content["renderer"] |= {"size": 64, "radius": 13}
    content["crop"]["size"] = 128
    content["generate"] |= {"steps": 2, "style_steps": 2, "max_clips": 2, "pirenderer_clips": 1}
    (root / "params.yaml").write_text(yaml.safe_dump(content))


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that goes up and down like speech, (samples,) float32 at 16 kHz."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    return (np.sin(2 * np.pi * 3 * time) ** 2 * (0.4 * np.sin(2 * np.pi * 140 * time) + noise)).astype(np.float32)


def repository(root: Path, original: Path) -> Path:
    """The tiny repository, with face.png, voice.wav (1.01 s) and blank.png beside it."""
    picture, landmarks = face()
    networks(root / "models", landmarks)
    parameters(root, original)
    Image.fromarray(picture).save(root / "face.png")
    Image.new("RGB", (200, 160), "gray").save(root / "blank.png")
    write_wav(root / "voice.wav", voice(1.01), RATE)
    return root


def corpus(root: Path, frames: int = 12) -> None:
    """data/ of three clips by two speakers: one to train on, two to test; every frame shows the same picture."""
    picture, points = face()
    generator = np.random.default_rng(0)
    clips, split, motion, audio, landmarks = [], [], [], [], []
    for i, (clip_id, speaker, part) in enumerate((("a1", "a", "train"), ("b1", "b", "test"), ("b2", "b", "test"))):
        clips.append((clip_id, [picture] * frames, voice(frames / 25, seed=i)))
        split.append(
            {
                "clip_id": clip_id,
                "speaker": speaker,
                "emotion": "happy",
                "level": i + 1,
                "style": f"{speaker}/happy/{i + 1}",
                "split": part,
                "together": clip_id,
                "portrait_clip_id": {"a1": "a1", "b1": "b2", "b2": "b1"}[clip_id],
                "other_audio_clip_id": {"a1": "b1", "b1": "b2", "b2": "b1"}[clip_id],
            }
        )
        sway = np.linspace(0, 0.2, frames, dtype=np.float32)[:, None] * np.float32([0, 1, 0])
        fitted = {
            "expression": generator.normal(0, 0.5, (frames, DIMS)),
            "identity": generator.normal(0, 1, IDENTITY),
            "angles": sway,
            "translation": np.tile(np.float32([130, 100, 4]), (frames, 1)),
            "fit_rmse_px": np.zeros(frames),
        }
        motion.append({"clip_id": clip_id, **fitted})
        audio.append({"clip_id": clip_id, "features": generator.normal(0, 1, (2 * frames, BANDS + 3))})
        landmarks.append({"clip_id": clip_id, "landmarks": np.tile(points.ravel(), (frames, 1))})
    data = root / "data"
    _write_clips(data / "clips", clips)
    tables.write(pd.DataFrame(split), tables.SPLIT, data / "split.parquet")
    for name, rows in (("motion", motion), ("audio", audio), ("landmarks", landmarks)):
        write_shard(data / name / "shard-00000.arrow", rows)


def _write_clips(folder: Path, clips: list[tuple[str, list[np.ndarray], np.ndarray]]) -> None:
    folder.mkdir(parents=True)
    rows = []
    with tarfile.open(folder / "shard-00000.tar", "w") as shard:
        for clip_id, frames, sound in clips:
            write_mp4(folder / f"{clip_id}.mp4", frames, 25)
            write_wav(folder / f"{clip_id}.wav", sound, RATE)
            size = frames[0].shape[0]
            about = {"clip_id": clip_id, "frames": len(frames), "fps": 25.0, "width": size, "height": size}
            about |= {"audio_rate": RATE, "shard": "shard-00000.tar", "sha256": sha256(folder / f"{clip_id}.mp4")}
            rows.append(about)
            for suffix in ("mp4", "wav"):
                path = folder / f"{clip_id}.{suffix}"
                shard.add(path, path.name)
                path.unlink()
    tables.write(tables.from_rows(rows, tables.CLIPS), tables.CLIPS, folder / "clips.parquet")
