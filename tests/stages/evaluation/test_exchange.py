"""A corpus of coefficients and sound: in, through a training stage, and out again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml

from dreamtalk_models.face_model import FaceModel
from stages import params, tables
from stages.columns import Columns
from stages.corpus.encode import write_wav
from stages.corpus.media import Clips
from stages.evaluation import coefficients, exchange
from stages.evaluation.inputs import InputError
from stages.features import face_files
from tests.stages.features.published_models import write_bfm

FRAMES, RATE = 60, 16000
NAMES = [f"{who}_front_{how}_001" for who in ("M001", "M002", "W003", "W004") for how in ("angry_level3", "sad_level1")]


def write_corpus(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name in NAMES:
        coeff = np.zeros((FRAMES, 257))
        coeff[:, :80] = rng.normal(size=80)
        coeff[:, 80:144] = np.cumsum(rng.normal(0, 0.05, (FRAMES, 64)), axis=0)
        coeff[:, 224:227] = 0.1 * np.sin(np.arange(FRAMES) / 10)[:, None]
        transform = np.tile([256.0, 256.0, 0.95, 128.0, 126.0], (FRAMES, 1))
        scipy.io.savemat(folder / f"{name}.mat", {"coeff": coeff, "transform_params": transform})
        sound = 0.3 * np.sin(np.cumsum(rng.uniform(0.02, 0.2, FRAMES * RATE // 25)))
        write_wav(folder / f"{name}.wav", sound.astype(np.float32), RATE)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Into which a corpus was imported by the command line, and small networks are to be trained."""
    here = tmp_path_factory.mktemp("repository")
    content = yaml.safe_load((root / "params.yaml").read_text())
    content["lip_expert"] |= {"steps": 6, "batch": 8, "clip_frames": 5}
    content["denoiser"] |= {"steps": 6, "batch": 2}
    content["training"] |= {"validations": 1}
    (here / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    corpus, model = write_corpus(here / "corpus"), write_bfm(here / "bfm")
    (corpus / "silent.mat").write_bytes((corpus / f"{NAMES[0]}.mat").read_bytes())
    done = program(root, here, "flows.cli", "import-coefficients", corpus, "--model", model)
    assert "silent.mat has no sound beside it" in done
    assert f"{len(NAMES)} clips, {len(NAMES) * FRAMES} frames" in done
    return here


def program(root: Path, here: Path, module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(root), "DREAMTALK_WORKERS": "1"}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_what_is_imported_is_what_the_stages_make(repository: Path) -> None:
    clips, motion = Clips(repository / "data/clips"), Columns(repository / "data/motion")
    assert sorted(clips.ids) == sorted(motion) == sorted(NAMES)
    assert clips.table.loc[NAMES[0], "speaker"] == "M001"
    assert (clips.table.loc[NAMES[0], "emotion"], clips.table.loc[NAMES[0], "level"]) == ("angry", 3)
    assert len(clips.audio(NAMES[0])) == FRAMES * RATE // 25
    clip, source = motion[NAMES[0]], coefficients.read(repository / "corpus" / f"{NAMES[0]}.mat")
    np.testing.assert_allclose(clip["expression"], source.expression, atol=1e-6)
    np.testing.assert_allclose(clip["translation"], source.pose.translation, atol=1e-3)
    assert clip["identity"].shape == (80,)
    assert set(tables.read(repository / "data/split.parquet")["split"]) >= {"train", "test"}
    assert len(FaceModel.load(repository / "models/face_model/face_model.npz").mean) == 100


@pytest.mark.slow
def test_networks_are_trained_on_it(repository: Path, root: Path) -> None:
    program(root, repository, "stages.features.audio")
    program(root, repository, "stages.training.lip_expert", "style_aware")
    assert (repository / "models/lip_expert/style_aware/weights.safetensors").is_file()
    program(root, repository, "stages.training.denoiser", "full", "--lip-expert", "style_aware")
    assert (repository / "models/denoiser/full/weights.safetensors").is_file()


def test_and_out_again(repository: Path, root: Path, tmp_path: Path) -> None:
    program(root, repository, "flows.cli", "export-coefficients", tmp_path / "out")
    for name in (NAMES[0], NAMES[-1]):
        was = coefficients.read(repository / "corpus" / f"{name}.mat")
        found = coefficients.read(tmp_path / "out" / f"{name}.mat")
        np.testing.assert_allclose(found.expression, was.expression, atol=1e-6)
        np.testing.assert_allclose(found.pose.translation, was.pose.translation, atol=1e-3)


def test_a_folder_that_holds_coefficients_keeps_them(repository: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / f"{NAMES[0]}.mat").write_bytes(b"somebody's")
    settings, model = (
        params.load(repository / "params.yaml"),
        FaceModel.load(repository / "models/face_model/face_model.npz"),
    )
    with pytest.raises(InputError, match=f"{NAMES[0]}.mat already"):
        exchange.export_folder(repository, model, settings, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"somebody's"]


def test_another_rate_is_brought_to_the_corpus(root: Path, tmp_path: Path) -> None:
    settings = params.load(root / "params.yaml")
    corpus = write_corpus(tmp_path / "corpus")
    given = settings.face_model.model_copy(update={"expression_dim": 64})
    model = face_files.open_model(write_bfm(tmp_path / "bfm"), given)
    exchange.import_folder(corpus, tmp_path, model, settings, fps=30.0)
    motion = Columns(tmp_path / "data/motion")[NAMES[0]]
    source = coefficients.read(corpus / f"{NAMES[0]}.mat").expression
    assert len(motion["expression"]) == 50  # 60 frames are 2 s
    np.testing.assert_allclose(motion["expression"][10], source[12], atol=1e-5)


def test_any_path_makes_a_clip(root: Path, tmp_path: Path) -> None:
    settings = params.load(root / "params.yaml")
    corpus = write_corpus(tmp_path / "corpus")
    long, odd = corpus / "a" / ("b" * 60) / ("c" * 60), corpus / os.fsdecode(b"caf\xe9")
    for folder, name in ((long, NAMES[0]), (odd, NAMES[1])):
        folder.mkdir(parents=True)
        for suffix in (".mat", ".wav"):
            (corpus / f"{name}{suffix}").rename(folder / f"talk{suffix}")
    (odd / "mute.mat").write_bytes((odd / "talk.mat").read_bytes())
    model = face_files.open_model(write_bfm(tmp_path / "bfm"), settings.face_model)
    made = exchange.import_folder(corpus, tmp_path, model, settings, fps=25.0)
    assert made.clips == len(NAMES) and len(made.refused) == 1 and "caf\ufffd/mute.mat has no sound" in made.refused[0]
    clips = Clips(tmp_path / "data/clips")
    assert {"a", "caf\ufffd"} < set(clips.table["speaker"])
    assert all(len(clips.audio(clip_id)) == FRAMES * RATE // 25 for clip_id in clips.ids)
    assert not any((tmp_path / ".work").iterdir())


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"test_speakers": ["M003"]}, "split.test_speakers names M003"), ({"protocol": "mead_sentences"}, "needs clips")],
)
def test_a_corpus_stays_where_another_cannot_be_split(root: Path, tmp_path: Path, asked: dict, told: str) -> None:
    settings = params.load(root / "params.yaml")
    model = face_files.open_model(write_bfm(tmp_path / "bfm"), settings.face_model)
    exchange.import_folder(write_corpus(tmp_path / "corpus"), tmp_path, model, settings, 25.0)
    before = {path: path.read_bytes() for place in exchange.PLACES for path in files(tmp_path / place)}
    for suffix in (".mat", ".wav"):
        (tmp_path / f"corpus/{NAMES[0]}{suffix}").rename(tmp_path / f"corpus/stranger{suffix}")
    settings = settings.model_copy(update={"split": settings.split.model_copy(update=asked)})
    with pytest.raises(InputError, match=told):
        exchange.import_folder(tmp_path / "corpus", tmp_path, model, settings, 25.0)
    assert before == {path: path.read_bytes() for place in exchange.PLACES for path in files(tmp_path / place)}


def files(place: Path) -> list[Path]:
    return sorted(path for path in (place, *place.rglob("*")) if path.is_file())


def test_folders_that_hold_nothing(root: Path, tmp_path: Path) -> None:
    settings = params.load(root / "params.yaml")
    model = face_files.open_model(write_bfm(tmp_path / "bfm"), settings.face_model)
    with pytest.raises(InputError, match=r"has no \.mat file"):
        exchange.import_folder(tmp_path / "absent", tmp_path, model, settings, 25.0)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.mat").write_text("text")
    with pytest.raises(InputError, match=r"a\.mat cannot be read"):
        exchange.import_folder(tmp_path / "corpus", tmp_path, model, settings, 25.0)
    assert not (tmp_path / "data").exists()
