"""The published face models: read from small files of the same layout, fitted, and refused when they are not that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel, lower_face
from stages import params
from stages.features import face_files
from stages.features import face_model as stage
from stages.features.face_files import FaceFileError
from stages.features.landmark_fit import fit_landmarks, mesh_px
from tests.stages.features import published_models as made

FIT = params.Fit(
    identity_weight=1e-4, expression_weight=1e-5, smoothing=0.0, pose_smoothing=0.0, neck=0.0, max_error=0.1
)
ROOT = Path(__file__).parents[3]


def settings(kind: str, path: Path, identity: int = 80, expression: int = 64) -> params.FaceModelParams:
    given = {"kind": kind, "path": str(path), "identity_dim": identity, "expression_dim": expression}
    return params.load(ROOT / "params.yaml").face_model.model_copy(update=given)


def landmarks_of(model: FaceModel, frames: int) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """MediaPipe's landmarks (n, 478, 3) of a face of the model, and the truth behind them."""
    generator = torch.Generator().manual_seed(5)
    used = (model.expression_std > 0).float()
    truth = {
        "identity": 0.5 * torch.randn(model.identity_dim, generator=generator),
        "expression": 0.1 * torch.randn(frames, model.expression_dim, generator=generator) * used,
        "angles": 0.1 * torch.randn(frames, 3, generator=generator),
        "translation": torch.tensor([128.0, 120.0, 4.2]).expand(frames, 3),
    }
    points = model.observed_part.project(**truth)
    mesh = torch.zeros(frames, 478, 3)
    for place, pair in enumerate(topology.LANDMARKS68):
        mesh[:, list(pair)] = points[:, place, None]
    mesh[:, 132] = 2 * points[:, 3] - mesh[:, 58]  # a vertex of two landmarks
    return mesh.numpy(), truth


@pytest.mark.parametrize("kind", ["bfm", "ict"])
def test_stage_reads_the_file_and_the_model_fits_from_end_to_end(kind: str, tmp_path: Path) -> None:
    path = (
        made.write_bfm(tmp_path / "files", 4, 6).parent if kind == "bfm" else made.write_ict(tmp_path / "files", 4, 6)
    )
    wanted = settings(kind, path, identity=4, expression=8)
    stage.run(tmp_path / "no", tmp_path / "no", tmp_path / "model", wanted)  # neither landmarks nor a split are needed
    model = FaceModel.load(tmp_path / "model" / "face_model.npz")
    assert (model.identity_dim, model.expression_dim, len(model.mean), len(model.observed)) == (4, 8, 100, 68)
    assert not model.expression_basis[:, 6:].any()
    points, truth = landmarks_of(model, 12)
    motion = fit_landmarks(model, points, FIT)
    assert motion["expression"].shape == (12, 8)
    assert motion["identity"].shape == (4,)
    assert not motion["expression"][:, 6:].any()
    assert motion["fit_rmse_px"].mean() < 1.0
    assert np.corrcoef(motion["expression"][:, 0], truth["expression"][:, 0])[0, 1] > 0.95
    np.testing.assert_allclose(motion["angles"], truth["angles"], atol=0.05)
    assert mesh_px(model, motion).shape == (12, 100, 3)


def test_models_stand_upright_in_the_house_unit(tmp_path: Path) -> None:
    made.write_bfm(tmp_path)
    model = face_files.load(settings("bfm", tmp_path))
    assert (model.identity_dim, model.expression_dim) == (80, 64)
    left, right = (model.mean[model.sets[eye]].mean(0) for eye in ("left_eye", "right_eye"))
    assert (left - right).norm() == pytest.approx(1.0, abs=1e-5)
    assert model.mean[model.sets["stable"]].mean(0).abs().max() < 1e-5
    assert left[0] > right[0]
    mean, _, _ = made.shapes(1, 1)
    assert model.mean[8, 1] - model.mean[27, 1] == pytest.approx(
        -(mean[8, 1] - mean[27, 1]) / np.linalg.norm(mean[42:48].mean(0) - mean[36:42].mean(0)), abs=1e-4
    )


def test_what_the_networks_ask_of_a_model_works_with_a_published_one(tmp_path: Path) -> None:
    model = face_files.load(settings("bfm", made.write_bfm(tmp_path)))
    assert model.mouth_vertices(torch.zeros(3, 64)).shape == (3, 3 * len(model.sets["mouth"]))
    assert 0 < len(lower_face(model)) < 64
    assert model.landmarks68(model.mean).shape == (68, 3)


def test_any_model_that_a_user_names(tmp_path: Path) -> None:
    bfm, ict = made.write_bfm(tmp_path / "bfm"), made.write_ict(tmp_path / "ict")
    asked = settings("mediapipe_pca", tmp_path, expression=32)
    for path in (bfm, bfm.parent, ict):
        model = face_files.open_model(path, asked)
        assert model.expression_dim == 64
    model.save(tmp_path / "own.npz")
    assert face_files.open_model(tmp_path / "own.npz", asked).digest == model.digest  # coefficients belong to both
    for name in ("absent.npz", "absent.mat", "absent"):
        with pytest.raises(FaceFileError, match="absent"):
            face_files.open_model(tmp_path / name, asked)


def test_files_that_are_no_face_model(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "BFM_model_front.mat", {"meanshape": np.zeros((1, 9))})
    with pytest.raises(FaceFileError, match="idBase"):
        face_files.load(settings("bfm", tmp_path))
    (tmp_path / "BFM_model_front.mat").write_text("text")
    with pytest.raises(FaceFileError, match="is not a BFM_model_front"):
        face_files.load(settings("bfm", tmp_path))
    with pytest.raises(FaceFileError, match="missing"):
        face_files.load(settings("bfm", tmp_path / "absent"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "vertex_indices.json").unlink(), "vertex_indices.json is missing"),
        (lambda folder: (folder / "vertex_indices.json").write_text("{}"), "idx_to_landmark_verts"),
        (lambda folder: (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [1]})), "68"),
        (lambda folder: (folder / "identity001.obj").write_text("v 1 2 3\n"), "identity001.obj has 1 vertices"),
        (lambda folder: (folder / "browDown_0.obj").write_text("v one two\n"), "browDown_0.obj is not a Wavefront"),
        (lambda folder: [path.unlink() for path in folder.glob("brow*")], "lacks"),
    ],
)
def test_damaged_ict_folders(tmp_path: Path, damage, says: str) -> None:
    made.write_ict(tmp_path)
    damage(tmp_path)
    with pytest.raises(FaceFileError, match=says):
        face_files.load(settings("ict", tmp_path))


def test_blendshapes_are_not_cut(tmp_path: Path) -> None:
    with pytest.raises(FaceFileError, match="expression_dim"):
        face_files.load(settings("ict", made.write_ict(tmp_path), expression=3))
