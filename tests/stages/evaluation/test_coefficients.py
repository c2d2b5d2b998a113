"""Files of coefficients: what goes in comes out, and what is no such file is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from stages import params
from stages.corpus import decode
from stages.corpus.faces import FaceMesh
from stages.evaluation import coefficients
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.inputs import InputError
from stages.evaluation.motion import Pose
from stages.evaluation.published_pose import PUBLISHED_TURN
from stages.evaluation.workshop import Workshop
from tests.stages.evaluation import talking


@pytest.fixture
def made() -> Coefficients:
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(6, width)).astype(np.float32) for width in (talking.DIMS, 3, 3)]
    identity, rmse = generator.normal(size=talking.IDENTITY).astype(np.float32), np.ones(6, np.float32)
    return Coefficients(identity, rows[0], Pose(rows[1], rows[2]), rmse, (640, 480), "a digest", 25.0)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Workshop:
    folder = tmp_path_factory.mktemp("repository")
    talking.networks(folder / "models", talking.face()[1])
    return Workshop(folder, params.load(root / "params.yaml"))


def published(path: Path) -> Path:
    """A file as the published 3DMM fits are."""
    generator = np.random.default_rng(1)
    content = {"coeff": generator.normal(0, 0.1, (9, 257)), "transform_params": np.full((9, 5), 256.0)}
    scipy.io.savemat(path, content)
    return path


@pytest.mark.parametrize("suffix", coefficients.SUFFIXES)
def test_what_is_written_is_read(made: Coefficients, tmp_path: Path, suffix: str) -> None:
    coefficients.write(made, tmp_path / f"a{suffix}")
    found = coefficients.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(found.expression, made.expression)
    np.testing.assert_array_equal(found.pose.angles, made.pose.angles)
    np.testing.assert_array_equal(found.pose.translation, made.pose.translation)
    np.testing.assert_allclose(found.identity, made.identity, rtol=1e-6)
    np.testing.assert_array_equal(found.rmse, made.rmse)
    assert (found.size, found.face_model, found.fps) == (made.size, made.face_model, made.fps)


def test_mat_has_the_published_layout(made: Coefficients, tmp_path: Path) -> None:
    coefficients.write(made, tmp_path / "a.mat")
    content = scipy.io.loadmat(tmp_path / "a.mat")
    assert content["coeff"].shape == (6, 257)
    assert content["transform_params"].shape == (6, 5)
    np.testing.assert_array_equal(content["coeff"][:, 80 : 80 + talking.DIMS], made.expression)
    np.testing.assert_array_equal(content["coeff"][:, 224:227], made.pose.angles * PUBLISHED_TURN)
    np.testing.assert_array_equal(content["transform_params"][:, :2], np.tile([640, 480], (6, 1)))


def test_a_reader_of_the_published_form_finds_our_pose(made: Coefficients, tmp_path: Path) -> None:
    coefficients.write(made, tmp_path / "a.mat")
    content = scipy.io.loadmat(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {name: content[name] for name in ("coeff", "transform_params")})
    found = coefficients.read(tmp_path / "b.mat")
    assert found.face_model is None
    assert found.expression.shape == (6, 64)
    np.testing.assert_allclose(found.pose.angles, made.pose.angles, atol=1e-6)
    np.testing.assert_allclose(found.pose.translation, made.pose.translation, atol=1e-3)


def test_transform_params_that_cannot_be(tmp_path: Path) -> None:
    for name, transform in (("few", np.ones((2, 5))), ("flat", np.zeros((3, 5)))):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"coeff": np.zeros((3, 257)), "transform_params": transform})
        with pytest.raises(InputError, match=f"{name}.mat: transform_params"):
            coefficients.read(tmp_path / f"{name}.mat")


@pytest.mark.parametrize("name", ["talking/KristiNoem", "mead/W009_front_sad_level3_001"])
def test_published_places_are_where_the_face_is_seen(shared: Path, name: str) -> None:
    """The published camera, read with our constants, against the landmarks of the same clip."""
    found = coefficients.read(shared / "realclips" / "coeff" / f"{Path(name).name}.mat")
    with FaceMesh() as mesh:
        frame = next(decode.frames(shared / "realclips" / f"{name}.mp4", 25))
        eyes = mesh.landmarks(frame)[[33, 133, 263, 362], :2].mean(0)
    assert np.abs(eyes - found.pose.translation[0, :2]).max() < 20  # px of 256; the origin is the nose's bridge
    assert 50 < np.exp(found.pose.translation[0, 2]) < 80  # px between the eyes


def test_more_dimensions_than_the_layout_holds(made: Coefficients, tmp_path: Path) -> None:
    wide = replace(made, expression=np.zeros((6, 65), np.float32))
    with pytest.raises(InputError, match="parquet"):
        coefficients.write(wide, tmp_path / "a.mat")
    assert not (tmp_path / "a.mat").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("no coefficients")
    scipy.io.savemat(tmp_path / "other.mat", {"weights": np.zeros(3)})
    scipy.io.savemat(tmp_path / "narrow.mat", {"coeff": np.zeros((3, 64)), "transform_params": np.zeros((3, 5))})
    for name, reason in (("text", "cannot be read"), ("other", "coeff"), ("narrow", r"\(3, 64\)"), ("none", "no such")):
        with pytest.raises(InputError, match=reason) as caught:
            coefficients.read(tmp_path / f"{name}.mat")
        assert f"{name}.mat" in str(caught.value)


@pytest.mark.parametrize("suffix", coefficients.SUFFIXES)
@pytest.mark.parametrize("part", ["identity", "expression", "angles", "translation"])
def test_values_that_are_no_numbers(made: Coefficients, tmp_path: Path, suffix: str, part: str) -> None:
    spoiled = replace(made, identity=made.identity.copy(), expression=made.expression.copy())
    array = getattr(spoiled.pose if part in ("angles", "translation") else spoiled, part)
    array.flat[2] = np.nan
    coefficients.write(spoiled, tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match=rf"a{suffix}.*finite"):
        coefficients.read(tmp_path / f"a{suffix}")


def test_parts_of_different_length(made: Coefficients, tmp_path: Path) -> None:
    coefficients.write(made, tmp_path / "a.mat")
    content = scipy.io.loadmat(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {**content, "angles": content["angles"][:-1]})
    with pytest.raises(InputError, match=r"b.mat: angles has 5 frames, but expression 6"):
        coefficients.read(tmp_path / "b.mat")


def test_motion_of_another_rate_takes_as_long(made: Coefficients, workshop: Workshop, tmp_path: Path) -> None:
    coefficients.write(replace(made, fps=50.0), tmp_path / "a.mat")
    pose = workshop.pose(str(tmp_path / "a.mat"))
    np.testing.assert_allclose(pose.angles, made.pose.angles[::2], atol=1e-6)
    coefficients.write(replace(made, fps=None), tmp_path / "b.mat")
    assert len(workshop.pose(str(tmp_path / "b.mat"))) == 6


@pytest.mark.parametrize("suffix", coefficients.SUFFIXES)
def test_poses_of_another_width(made: Coefficients, tmp_path: Path, suffix: str) -> None:
    flat = Pose(made.pose.angles[:, :2], made.pose.translation)
    if suffix == ".parquet":
        coefficients.write(replace(made, pose=flat), tmp_path / "a.parquet")
    else:
        coefficients.write(made, tmp_path / "whole.mat")
        content = scipy.io.loadmat(tmp_path / "whole.mat")
        scipy.io.savemat(tmp_path / "a.mat", {**content, "angles": flat.angles})
    with pytest.raises(InputError, match=r"angles is \(6, 2\), expected \(frames, 3\)"):
        coefficients.read(tmp_path / f"a{suffix}")


def test_impossible_dimensions(made: Coefficients, tmp_path: Path) -> None:
    coefficients.write(made, tmp_path / "a.mat")
    content = scipy.io.loadmat(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {**content, "dimensions": np.int32([[3, 70]])})
    with pytest.raises(InputError, match="dimensions are 3 and 70"):
        coefficients.read(tmp_path / "b.mat")


def test_styles_of_another_width(made: Coefficients, workshop: Workshop, tmp_path: Path) -> None:
    digest, wide = workshop.face_model.digest, np.zeros((6, talking.DIMS + 2), np.float32)
    coefficients.write(replace(made, expression=wide, face_model=digest), tmp_path / "a.mat")
    with pytest.raises(InputError, match=f"has {talking.DIMS + 2} expression numbers"):
        workshop.style(str(tmp_path / "a.mat"))


def test_published_files_give_poses_but_no_styles(workshop: Workshop, tmp_path: Path) -> None:
    path = published(tmp_path / "pose.mat")
    pose = workshop.pose(str(path))
    assert len(pose) == 9
    assert (pose.translation == 0).all()
    np.testing.assert_allclose(pose.angles, scipy.io.loadmat(path)["coeff"][:, 224:227] * PUBLISHED_TURN, atol=1e-6)
    with pytest.raises(InputError, match="another face model"):
        workshop.style(str(path))
