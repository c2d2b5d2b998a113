"""The stages face_model and fit on a corpus of synthetic faces."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel, lower_face
from stages import columns, params, tables
from stages.corpus import decode
from stages.features import face_model as learning
from stages.features import fit as fitting
from stages.features import fit_quality, overlay
from stages.features.landmark_fit import fit_landmarks, mesh_px
from tests.synthetic_face import synthetic_clip, synthetic_model

FIT = params.Fit(
    identity_weight=1e-4, expression_weight=1e-4, smoothing=0.05, pose_smoothing=0.05, neck=0.0, max_error=0.1
)
LEARN = params.FaceModelParams(
    kind="mediapipe_pca", path="none", identity_dim=8, expression_dim=6, frames_per_clip=20, detail_weight=1.0
)


def write_corpus(folder: Path, speakers: int, clips: int, frames: int = 40) -> dict[str, np.ndarray]:
    """Landmarks of speakers that share a face model; the last speaker is held out if there are several."""
    model, rows, split = synthetic_model(), [], []
    for speaker in range(speakers):
        identity = torch.randn(model.identity_dim, generator=torch.Generator().manual_seed(speaker))
        for clip in range(clips):
            _, truth = synthetic_clip(model, frames, seed=100 * speaker + clip)
            mesh = model.project(**{**truth, "identity": identity}).numpy()
            points = np.concatenate([mesh, np.zeros((frames, topology.IRISES, 3), np.float32)], 1)
            clip_id = f"s{speaker}_{clip}"
            rows.append({"clip_id": clip_id, "landmarks": points.reshape(frames, -1)})
            held_out = speakers > 1 and speaker == speakers - 1
            split.append(
                {
                    "clip_id": clip_id,
                    "speaker": f"s{speaker}",
                    "emotion": ["neutral", "happy"][clip % 2],
                    "split": "test" if held_out else "train",
                }
            )
    for shard in range(2):
        columns.write_shard(folder / "landmarks" / f"shard-{shard:05d}.arrow", rows[shard::2])
    tables.write(pd.DataFrame(tables.from_rows(split, tables.SPLIT)), tables.SPLIT, folder / "split.parquet")
    return {row["clip_id"]: row["landmarks"].reshape(frames, -1, 3) for row in rows}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("corpus")
    landmarks = write_corpus(folder, speakers=4, clips=4)
    learning.run(folder / "landmarks", folder / "split.parquet", folder / "model", LEARN)
    return folder, landmarks


@pytest.fixture(scope="module")
def model(corpus: tuple[Path, dict]) -> FaceModel:
    return FaceModel.load(corpus[0] / "model" / "face_model.npz")


def test_mean_face_is_upright_and_of_unit_size(model: FaceModel) -> None:
    again = learning.upright(model.mean.double())
    torch.testing.assert_close(model.mean.double(), again, atol=1e-5, rtol=0)
    right, left = (model.mean[list(eye)].mean(0) for eye in (topology.RIGHT_EYE, topology.LEFT_EYE))
    torch.testing.assert_close(left - right, torch.tensor([1.0, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_a_neutral_shape_has_its_lips_closed_however_wide_they_open_in_speech() -> None:
    model = synthetic_model()
    shut = model.mean.double()
    upper, lower = [61, 62, 63], [67, 66, 65]
    for above, below in zip(upper, lower, strict=True):
        shut[list(topology.LANDMARKS68[below]), 1] = shut[list(topology.LANDMARKS68[above]), 1]
    jaw = torch.zeros_like(shut)
    jaw[[vertex for point in lower for vertex in topology.LANDMARKS68[point]], 1] = 1.0
    jaw[topology.CONTOUR[8], 1] = 0.7
    amount = torch.linspace(0.0, 0.4, 30, dtype=torch.float64)[:, None, None]
    found = learning.lips_closed(shut + amount * jaw)
    torch.testing.assert_close(found, shut, atol=1e-6, rtol=0)
    still = (shut + 0.2 * jaw).expand(30, -1, -1)
    torch.testing.assert_close(learning.lips_closed(still), still[0])


def test_modes_explain_a_held_out_speaker_and_come_in_order(corpus, model: FaceModel) -> None:
    split = tables.read(corpus[0] / "split.parquet")
    unseen = learning.sample_meshes(columns.Columns(corpus[0] / "landmarks"), split[split["split"] == "test"], 20)
    # not all: this face's eyes and chin, which tell what is upright, move at random with its lips
    assert learning.explained_variance(model, unseen)["all"] > 0.96
    assert (model.expression_std.diff() <= 0).all()
    assert model.expression_std.median() == pytest.approx(learning.PUBLISHED_STD, abs=1e-5)


def test_expression_modes_are_symmetric_or_the_contrary(corpus, monkeypatch) -> None:
    """With every landmark paired with another one, as those of a face are."""
    every = np.arange(topology.VERTICES)
    swapped = every + 1 - 2 * (every % 2)
    monkeypatch.setattr(learning, "mirror_image", lambda shape: swapped)
    model, _ = learning.run(corpus[0] / "landmarks", corpus[0] / "split.parquet", corpus[0] / "symmetric", LEARN)
    basis = model.expression_basis.unflatten(0, (-1, 3)).permute(2, 0, 1)
    image = learning.mirrored(basis, swapped)
    alike = (basis * image).sum((1, 2)) / basis.square().sum((1, 2))
    torch.testing.assert_close(alike.abs(), torch.ones(6), atol=1e-3, rtol=0)


def test_the_mirror_image_of_a_face_is_found() -> None:
    half = torch.randn(200, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    half[:, 0] = half[:, 0].abs() + 0.1
    face = torch.cat([half, half * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)])
    mirror = learning.mirror_image(face + 1e-4)
    assert mirror.tolist() == [*range(200, 400), *range(200)]
    lopsided = torch.randn(200, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert learning.mirror_image(lopsided) is None


def test_identity_has_no_more_modes_than_speakers_allow(model: FaceModel) -> None:
    used = model.identity_basis.abs().sum(0) > 0
    assert used.tolist() == [True, True] + [False] * 6


def test_expression_directions_are_orthogonal_under_the_weights(model: FaceModel) -> None:
    weighted = model.expression_basis * model.vertex_weights.repeat_interleave(3)[:, None]
    gram = weighted.T @ model.expression_basis
    off = gram - torch.diag(gram.diag())
    assert off.abs().max() < 1e-4 * gram.max()


def test_learning_twice_gives_equal_bytes(corpus, tmp_path: Path) -> None:
    learning.run(corpus[0] / "landmarks", corpus[0] / "split.parquet", tmp_path / "model", LEARN)
    again = (tmp_path / "model" / "face_model.npz").read_bytes()
    assert again == (corpus[0] / "model" / "face_model.npz").read_bytes()


def test_one_speaker_and_few_frames_are_enough(tmp_path: Path) -> None:
    landmarks = write_corpus(tmp_path, speakers=1, clips=2, frames=5)
    settings = LEARN.model_copy(update={"expression_dim": 64})
    found, numbers = learning.run(tmp_path / "landmarks", tmp_path / "split.parquet", tmp_path / "model", settings)
    assert found.expression_dim == 64
    assert numbers["speakers"] == 1
    assert 0 < len(lower_face(found)) < 64
    motion = fit_landmarks(found, next(iter(landmarks.values())), FIT)
    assert all(np.isfinite(value).all() for value in motion.values())
    assert not motion["identity"].any()
    assert motion["fit_rmse_px"].mean() < 1.0


def test_no_training_clips_is_said(tmp_path: Path, corpus) -> None:
    split = tables.read(corpus[0] / "split.parquet")
    with pytest.raises(ValueError, match="no clips to learn"):
        learning.sample_meshes(columns.Columns(corpus[0] / "landmarks"), split[split["split"] == "val"], 20)


def test_meshes_of_a_large_corpus_are_thinned_evenly_over_clips_and_frames(monkeypatch) -> None:
    landmarks = np.zeros((16, 40, 478, 3), np.float32)
    landmarks[..., 0] = np.arange(16)[:, None, None]
    landmarks[..., 1] = np.arange(40)[:, None]
    source = {f"{clip:02d}": {"landmarks": points.reshape(40, -1)} for clip, points in enumerate(landmarks)}
    emotions = ["neutral", "happy"] * 8
    split = pd.DataFrame({"clip_id": source.keys(), "speaker": source.keys(), "emotion": emotions})
    monkeypatch.setattr(learning, "MOST_MESHES", 16 * 20)
    every = learning.sample_meshes(source, split, 20)
    assert (np.bincount(every.points[:, 0, 0].int()) == 20).all()
    assert set(every.points[:, 0, 1].tolist()) == set(np.linspace(0, 39, 20).round())
    monkeypatch.setattr(learning, "MOST_MESHES", 16 * 5)
    thinned = learning.sample_meshes(source, split, 20)
    clips, frames = thinned.points[:, 0, 0].int().numpy(), thinned.points[:, 0, 1].tolist()
    assert (np.bincount(clips) == 5).all()
    assert set(frames) <= set(every.points[:, 0, 1].tolist())
    assert len(set(frames)) > 15  # any moment of a clip, not the same in all
    np.testing.assert_array_equal(thinned.speaker, [f"{clip:02d}" for clip in clips])
    np.testing.assert_array_equal(thinned.neutral, clips % 2 == 0)


def test_stage_fits_every_clip_and_repeats_its_bytes(corpus, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    folder, landmarks = corpus
    model_path = folder / "model" / "face_model.npz"
    table = fitting.run(folder / "landmarks", model_path, Path("one"), FIT)
    assert sorted(table["clip_id"]) == sorted(landmarks)
    assert (table["failed_frames"] == 0).all()
    assert table["fit_rmse_px"].max() < 2.0
    motion = columns.Columns(Path("one"))["s3_0"]
    assert {name: value.shape for name, value in motion.items()} == {
        "expression": (40, 6),
        "identity": (8,),
        "angles": (40, 3),
        "translation": (40, 3),
        "crop": (40, 3),
        "fit_rmse_px": (40,),
    }
    monkeypatch.setattr("stages.shards.WORK", Path("elsewhere"))
    fitting.run(folder / "landmarks", model_path, Path("two"), FIT)
    for name in ("shard-00000.arrow", "shard-00001.arrow", "motion.parquet"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_fitted_mesh_lies_on_the_landmarks(corpus, model: FaceModel) -> None:
    landmarks = corpus[1]["s0_1"]
    motion = fit_landmarks(model, landmarks, FIT)
    distance = np.linalg.norm(mesh_px(model, motion) - landmarks[:, : topology.VERTICES], axis=-1)
    picture = np.linalg.norm((mesh_px(model, motion) - landmarks[:, : topology.VERTICES])[..., :2], axis=-1)
    np.testing.assert_allclose(np.sqrt((picture**2).mean(1)), motion["fit_rmse_px"], rtol=1e-3)
    assert np.isfinite(distance).all()


def test_a_wild_frame_counts_as_failed(corpus, model: FaceModel) -> None:
    landmarks = corpus[1]["s0_1"].copy()
    landmarks[7] = np.random.default_rng(0).uniform(0, 256, landmarks[7].shape)
    row = fit_quality.quality(model, landmarks, fit_landmarks(model, landmarks, FIT), FIT)
    assert 1 <= row["failed_frames"] <= 3  # smoothing pulls at the frames beside it


def test_a_portrait_is_a_clip_of_one_frame(corpus, model: FaceModel) -> None:
    motion = fit_landmarks(model, corpus[1]["s1_0"][:1], FIT)
    assert motion["expression"].shape == (1, 6)
    assert motion["crop"].tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(0, 478, 3), (5, 68, 3), (5, 478, 2), (478, 3)])
def test_other_landmarks_are_refused(model: FaceModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        fit_landmarks(model, np.zeros(shape, np.float32), FIT)


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="face_model"):
        fitting.run(tmp_path, tmp_path / "face_model.npz", tmp_path / "out", FIT)


def test_a_frame_that_was_filled_in_hardly_counts(corpus, model: FaceModel) -> None:
    landmarks = corpus[1]["s0_1"].copy()
    landmarks[10] += np.random.default_rng(0).normal(0, 8, landmarks[10].shape)
    wild = fit_landmarks(model, landmarks, FIT)
    landmarks[11] = (landmarks[10] + landmarks[12]) / 2
    filled = fit_landmarks(model, landmarks, FIT)
    assert fit_quality.quality(model, landmarks, filled, FIT)["filled_frames"] == 1
    assert np.isfinite(filled["expression"]).all()
    assert wild["identity"].shape == filled["identity"].shape


def test_jitter_is_the_second_difference_where_the_face_is_still() -> None:
    steady = np.arange(40.0)[:, None, None] * np.ones((1, 4, 2))
    assert fit_quality.jitter(steady, steady) == pytest.approx(0)
    shaken = steady.copy()
    shaken[::2, :, 0] += 1
    assert fit_quality.jitter(shaken, steady) == pytest.approx(2)
    shaken[20:] = steady[20:] * 10  # a large movement in one half leaves the stillest quarter in the other
    assert fit_quality.jitter(shaken, np.where(np.arange(40)[:, None, None] < 20, 0, steady)) == pytest.approx(2)
    assert fit_quality.jitter(steady[:4], steady[:4]) == 0


def test_mouth_velocity_is_the_share_of_the_landmarks(corpus, model: FaceModel) -> None:
    seen = corpus[1]["s0_0"][:, : topology.VERTICES]
    assert fit_quality.mouth_velocity(model, seen, seen) == pytest.approx(1)
    calm = seen.copy()
    lips, rest = model.sets["lips"].numpy(), model.sets["stable"].numpy()
    middle = seen[:, rest].mean(1, keepdims=True)
    calm[:, lips] = middle + (seen[:, lips] - middle) / 2
    assert fit_quality.mouth_velocity(model, calm, seen) == pytest.approx(0.5, abs=1e-3)
    assert fit_quality.mouth_velocity(model, seen[:1], seen[:1]) == 1


def test_identity_ratio_tells_speakers_apart() -> None:
    identities = np.array([[0.0, 0.0], [0.0, 1.0], [10.0, 0.0], [10.0, 1.0]])
    speakers = np.array(["a", "a", "b", "b"])
    assert fit_quality.identity_ratio(identities, speakers) == pytest.approx(0.1, abs=0.01)
    assert np.isnan(fit_quality.identity_ratio(identities[:2], speakers[:2]))


def test_summary_weighs_frames_alike() -> None:
    other = ("landmark_jitter_px", "mouth_velocity", "identity_gap", "filled_frames")
    rows = {"frames": [10, 30], "fit_rmse_px": [1.0, 2.0], "jitter_px": [0.0, 4.0]} | {
        name: [0.0, 0.0] for name in other
    }
    numbers = fit_quality.summary(pd.DataFrame({**rows, "failed_frames": [0, 4]}))
    assert numbers["fit_rmse_px"] == pytest.approx(1.75)
    assert numbers["jitter_px"] == pytest.approx(3.0)
    assert numbers["failed_share"] == pytest.approx(0.1)


class BlackClips:
    """Pictures of nothing, and which of them were asked for."""

    def __init__(self, ids: str) -> None:
        self.asked: list[tuple] = []
        self.table = pd.DataFrame({"fps": 25.0}, index=list(ids))

    def frames(self, clip_id: str, indices: list[int] | None = None) -> np.ndarray:
        self.asked.append((clip_id, indices))
        return np.zeros((5 if indices is None else 1, 256, 256, 3), np.uint8)


def test_overlays_show_the_best_the_median_and_the_worst_clip(corpus, model: FaceModel, tmp_path: Path) -> None:
    clips, motion = BlackClips("abc"), {}
    for clip_id, error in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        motion[clip_id] = fit_landmarks(model, corpus[1]["s0_0"][:5], FIT)
        motion[clip_id]["fit_rmse_px"] = np.float32([0, 0, error, 0, 0])
    table = pd.DataFrame({"clip_id": ["a", "b", "c"], "fit_rmse_px": [1.0, 3.0, 2.0]})
    figure = overlay.figure(model, clips, motion, table)
    assert clips.asked == [("a", [2]), ("c", [2]), ("b", [2])]
    assert [axis.get_title().split(":")[0] for axis in figure.axes] == ["best", "median", "worst"]
    plt.close(figure)
    paths = overlay.videos(model, clips, motion, table, tmp_path)
    assert [path.name for path in paths] == ["overlay-best.mp4", "overlay-median.mp4", "overlay-worst.mp4"]
    shown = decode.read_video(paths[0], 25)
    assert shown.shape == (5, 256, 256, 3)
    assert shown[0, ..., 1].max() > shown[0, ..., 0].max() + 80


def test_figures_show_modes_of_both_bases(model: FaceModel) -> None:
    figures = learning.figures(model)
    assert set(figures) == {"expression_modes", "identity_modes"}
    assert len(figures["expression_modes"].axes) == 2 * 6
    for figure in figures.values():
        plt.close(figure)
