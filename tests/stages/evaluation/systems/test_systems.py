"""Other authors' systems: the manifest, the test list, and videos under the corpus' rulers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.style_classifier import StyleClassifier
from dreamtalk_models.syncnet import SyncNet
from stages import params
from stages.corpus.decode import read_audio, read_video
from stages.corpus.encode import write_mp4
from stages.corpus.media import Clips
from stages.evaluation import coefficients
from stages.evaluation import evaluate as own
from stages.evaluation.compare import Wanted
from stages.evaluation.report.paper_tables import load_published
from stages.evaluation.systems import evaluate as stage
from stages.evaluation.systems.manifest import INPUTS, systems
from stages.evaluation.systems.test_list import FILES, export
from tests.stages.evaluation import talking as toy

TWELVE = ["MakeItTalk", "Wav2Lip", "PC-AVS", "AVCT", "GC-AVT", "EAMM"]
TWELVE += ["StyleTalk", "DiffTalk", "SadTalker", "PD-FGC", "EAT", "TH-PAD"]


def test_the_manifest_has_the_twelve_systems_and_says_what_each_takes():
    assert [system.name for system in systems()] == TWELVE
    for system in systems():
        assert set(system.inputs) <= set(INPUTS)
        fields = set(re.findall(r"{(\w+)}", f"{system.run} {system.notes}"))
        assert fields <= {*system.inputs, "clip_id"}, system.name
        assert (system.run is None) == (system.repository is None)
        assert system.licence and system.checked


def test_published_numbers_are_of_known_systems():
    published = load_published()
    ours = {"DreamTalk", "DreamTalk(A)", "Ground truth"}
    for table in ("table_1", "table_2", "table_3", "table_6"):
        assert {row["method"] for row in published[table]} - ours <= set(TWELVE)
    rated = {row["method"] for row in published["table_6"] if "style" in row} - ours
    assert rated == {s.name for s in systems() if s.emotional} - {"DiffTalk", "TH-PAD"}


@pytest.fixture(scope="module")
def reproduction(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = toy.repository(tmp_path_factory.mktemp("repository"), root)
    toy.corpus(place)
    torch.manual_seed(0)
    judges = {"syncnet": SyncNet(width=0.05, size=48), "style_classifier": StyleClassifier(classes=2, motion_dim=4)}
    for name, network in judges.items():
        (place / "models" / name).mkdir()
        checkpoints.save(network, place / "models" / name / "weights.safetensors")
    (place / "models/style_classifier/classes.json").write_text(json.dumps(["b/happy/2", "b/happy/3"]))
    return place


@pytest.fixture(scope="module")
def listed(reproduction: Path) -> tuple[pd.DataFrame, Path]:
    model = FaceModel.load(reproduction / "models/face_model/face_model.npz")
    out = reproduction / "list"
    return export(reproduction, model, 256, 25, 10, out), out


def test_the_test_list_has_all_that_systems_take(listed):
    table, out = listed
    written = pd.read_csv(out / "list.csv")
    assert written["clip_id"].tolist() == table["clip_id"].tolist() == ["b1", "b2"]
    for row in written.itertuples():
        assert all((out / getattr(row, folder)).is_file() for folder in FILES)
        assert len(read_video(out / row.truth, 25)) == len(read_video(out / row.pose, 25)) == row.frames == 12
        assert len(read_video(out / row.reference, 25)) == 6
        assert len(read_audio(out / row.audio, 16000)) == pytest.approx(0.48 * 16000, abs=2)
        still, style = (coefficients.read(out / place) for place in (row.pose_mat, row.reference_mat))
        assert not still.expression.any() and len(still.pose) == 12
        assert style.expression.any() and len(style.pose) == 6
    about = (out / "README.txt").read_text()
    assert all(name in about for name in TWELVE)


@pytest.fixture(scope="module")
def scored(reproduction: Path, root: Path, listed) -> pd.DataFrame:
    method = reproduction / "data/methods/theirs"
    method.mkdir(parents=True)
    write_mp4(method / "b1.mp4", read_video(listed[1] / "truth/b1.mp4", 25)[:9], 25)
    write_mp4(method / "b2_result.mp4", np.zeros((5, 64, 64, 3), np.uint8), 25)
    settings = params.load(root / "params.yaml")
    data, models = reproduction / "data", reproduction / "models"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMTALK_WORKERS", "1")
        patch.setattr("stages.shards.WORK", reproduction / ".work")
        truth = reproduction / "evaluation"
        own.evaluate("ground_truth", settings, data, models, reproduction / "generated", truth)
        table = stage.evaluate("theirs", method, settings, data, models, truth / "ground_truth")
    return table.set_index("clip_id")


def test_a_methods_videos_are_scored_beside_ours(scored: pd.DataFrame):
    assert list(scored.index) == ["b1", "b2"]
    row = scored.loc["b1"]
    assert row["ssim"] > 0.9 and row["m_lmd"] < 0.5 and row["frames"] == 9
    assert np.isfinite(row[["md", "lve", "sa", "intensity", "sync_conf_corpus"]].astype(float)).all()
    assert "9 frames, the truth has 12" in row["reason"]


def test_what_is_not_there_says_why(scored: pd.DataFrame):
    assert scored.loc["b2", "reason"] == "the video is missing; is it b2_result.mp4?"
    assert scored.loc["b2", ["ssim", "md", "sa"]].isna().all()


def test_folders_without_videos_are_left_out(tmp_path: Path):
    for name in ("done/a.mp4", "nested/videos/a.mp4", "begun/README.md", "broken/._a.mp4", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ready, unfinished = stage.there(tmp_path)
    assert [path.name for path in ready] == ["done"]
    assert [path.name for path in unfinished] == ["begun", "broken", "nested"]
    (tmp_path / "a name").mkdir()
    (tmp_path / "a name/a.mp4").touch()
    with pytest.raises(ValueError, match="a name: a method's name may have"):
        stage.there(tmp_path)


def test_scores_depend_on_the_truth_and_on_the_name_that_a_remark_suggests(reproduction: Path, tmp_path: Path):
    clips = Clips(reproduction / "data/clips")
    (tmp_path / "b1.mp4").write_bytes(b"video")
    places = [
        Wanted(tmp_path / "b1.mp4", None),
        Wanted(tmp_path / "none.mp4", None),
        Wanted(tmp_path / "none.mp4", "b"),
    ]
    seen = [stage.seen("b1", place, clips) for place in places]
    clips.table.loc["b1", "sha256"] = "another"
    assert len({*seen, stage.seen("b1", places[0], clips)}) == 4
