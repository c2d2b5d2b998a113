"""The face model's algebra, its landmarks and its file."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel, FaceModelError, lower_face, pose, rotation_angles, rotation_matrix
from tests.synthetic_face import synthetic_model


@pytest.fixture(scope="module")
def face_model() -> FaceModel:
    return synthetic_model()


def test_mediapipes_mesh_has_852_faces_and_no_edge_with_three() -> None:
    connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    faces = topology.triangles(connections.FACEMESH_TESSELATION)
    assert len(faces) == len(connections.FACEMESH_TESSELATION) // 3 == 852
    assert faces == sorted(set(faces)) == topology.triangles(sorted(connections.FACEMESH_TESSELATION, reverse=True))
    assert {vertex for face in faces for vertex in face} == set(range(topology.VERTICES))
    sides = [frozenset(side) for a, b, c in faces for side in ((a, b), (b, c), (a, c))]
    assert max(sides.count(side) for side in set(sides)) == 2


def test_landmarks68_groups_lie_in_their_parts_of_the_face() -> None:
    points = [set(pair) for pair in topology.LANDMARKS68]
    assert len(points) == 68
    assert all(pair <= {*topology.CONTOUR} for pair in points[:17])
    assert all(pair <= {*topology.RIGHT_BROW} for pair in points[17:22])
    assert all(pair <= {*topology.LEFT_BROW} for pair in points[22:27])
    assert all(pair <= {*topology.RIGHT_EYE} for pair in points[36:42])
    assert all(pair <= {*topology.LEFT_EYE} for pair in points[42:48])
    assert all(pair <= {*topology.OUTER_LIPS} for pair in points[48:60])
    assert all(pair <= {*topology.INNER_LIPS} for pair in points[60:])


def test_landmarks68_are_means_of_their_vertices(face_model: FaceModel) -> None:
    mesh = torch.arange(478 * 2.0).view(1, 478, 2)
    found = face_model.landmarks68(mesh)
    assert found.shape == (1, 68, 2)
    assert torch.equal(found[0, 3], (mesh[0, 132] + mesh[0, 58]) / 2)
    assert torch.equal(found[0, 48], mesh[0, 61])


def test_vertices_are_mean_plus_bases_and_broadcast(face_model: FaceModel) -> None:
    identity, expression = torch.randn(face_model.identity_dim), torch.randn(5, face_model.expression_dim)
    shapes = face_model.vertices(identity, expression)
    assert shapes.shape == (5, topology.VERTICES, 3)
    by_hand = face_model.mean.flatten() + face_model.identity_basis @ identity
    by_hand = by_hand + face_model.expression_basis @ expression[3]
    torch.testing.assert_close(shapes[3].flatten(), by_hand)


def test_mouth_vertices_follow_the_mouth_of_the_mean_person(face_model: FaceModel) -> None:
    expression = torch.randn(2, 3, face_model.expression_dim)
    mouth = face_model.sets["mouth"]
    seen = face_model.mouth_vertices(expression)
    shapes = face_model.vertices(torch.zeros(face_model.identity_dim), expression)[..., mouth, :]
    assert seen.shape == (2, 3, 3 * len(mouth))
    torch.testing.assert_close(seen, (shapes - face_model.mean[mouth].mean(0)).flatten(-2))


def test_rotation_is_pitch_then_yaw_then_roll_and_its_angles_come_back() -> None:
    angles = torch.tensor([[0.3, -0.5, 0.2], [-0.1, 1.2, -2.0]], dtype=torch.float64)
    expected = Rotation.from_euler("xyz", angles.numpy()).as_matrix()
    np.testing.assert_allclose(rotation_matrix(angles), expected, atol=1e-12)
    torch.testing.assert_close(rotation_angles(rotation_matrix(angles)), angles)


def test_pose_scales_and_shifts_in_the_picture() -> None:
    points = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]])
    translation = torch.tensor([[10.0, 20.0, math.log(50.0)]])
    quarter_roll = torch.tensor([[0.0, 0.0, math.pi / 2]])
    expected = torch.tensor([[[10.0, 70.0, 0.0], [-90.0, 20.0, 50.0]]])
    torch.testing.assert_close(pose(points, quarter_roll, translation), expected, atol=1e-4, rtol=0)


def test_file_round_trip_is_exact_and_equal_models_give_equal_bytes(face_model: FaceModel, tmp_path: Path) -> None:
    face_model.save(tmp_path / "a.npz")
    FaceModel.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest() == face_model.digest


def test_other_and_damaged_files_are_refused_by_name(face_model: FaceModel, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", mean=np.zeros((468, 3)))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npy", np.zeros(3))
    face_model.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:500])
    (tmp_path / "bent.npz").write_bytes(whole[:5000] + b"?" + whole[5001:])
    np.savez(tmp_path / "flat.npz", **dict.fromkeys(np.load(tmp_path / "whole.npz").files, np.zeros(())))
    for name in ("other.npz", "text.npz", "empty.npz", "array.npy", "cut.npz", "bent.npz", "flat.npz"):
        with pytest.raises(FaceModelError, match=name):
            FaceModel.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        FaceModel.load(tmp_path / "absent.npz")


def test_shapes_that_do_not_belong_together_are_refused(face_model: FaceModel) -> None:
    arrays = {
        name: getattr(face_model, name) for name in ("mean", "identity_basis", "expression_std", "vertex_weights")
    }
    with pytest.raises(ValueError, match="expression_basis"):
        FaceModel(**arrays, expression_basis=face_model.expression_basis[:, 1:], triangles=face_model.triangles)


def test_lower_face_is_what_moves_the_mouth(face_model: FaceModel) -> None:
    basis = torch.zeros(topology.VERTICES, 3, 4)
    basis[17, :, 0] = basis[66, :, 1] = basis[13, :, 3] = 1.0  # lower lip, brow, upper lip
    basis[159, :, 2] = 1.0  # eyelid
    arrays = {name: getattr(face_model, name) for name in ("mean", "identity_basis", "vertex_weights", "triangles")}
    model = FaceModel(**arrays, expression_basis=basis.flatten(0, 1), expression_std=torch.ones(4))
    assert lower_face(model) == [0, 3]
    mouth_only = FaceModel(**arrays, expression_basis=basis.flatten(0, 1)[:, [0, 3]], expression_std=torch.ones(2))
    assert len(lower_face(mouth_only)) == 1
