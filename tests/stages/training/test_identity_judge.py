"""On people of the demo corpus, who open their mouths."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages import columns, tables
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.portrait import make_portrait
from stages.corpus.demo.speakers import make_speaker
from stages.corpus.encode import write_mp4
from stages.evaluation.scoring import Judges, Settings, Truth, Video, score
from stages.training import identity_judge

FRAMES, SIZE = 5, 192
PARTS = {"train": 6, "val": 1, "test": 2}  # speakers


def talk(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Speaker `number` with an ever wider mouth: frames (5, 192, 192, 3), landmarks (5, 478, 3) px."""
    photo = photograph()
    portrait, points = make_portrait(photo, make_speaker(photo, number, seed=1, foretold=0.85), SIZE)
    targets = np.repeat(points[None], FRAMES, axis=0)
    targets[:, [14, 87, 317, 17, 84, 314, 152], 1] += 2.0 * np.arange(FRAMES)[:, None]
    warper = MeshWarper(portrait, points)
    irises = np.zeros((FRAMES, 10, 3))
    return np.stack([warper.frame(target) for target in targets]), np.concatenate([targets, irises], axis=1)


@pytest.fixture(scope="module")
def films() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    numbers: Iterator[int] = iter(range(sum(PARTS.values())))
    return {part: [talk(next(numbers)) for _ in range(count)] for part, count in PARTS.items()}


@pytest.fixture
def workspace(films, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    (tmp_path / "mlflow").mkdir()
    clips, split, landmarks = [], [], []
    (tmp_path / "data/clips").mkdir(parents=True)
    with tarfile.open(tmp_path / "data/clips/shard-00000.tar", "w") as tar:
        for part, people in films.items():
            for number, (frames, points) in enumerate(people):
                for take, order in enumerate((slice(None), slice(None, None, -1))):
                    clip_id, speaker = f"{part}{number}_{take}", f"{part}{number}"
                    write_mp4(tmp_path / "clip.mp4", frames[order], 25)
                    member = tarfile.TarInfo(f"{clip_id}.mp4")
                    content = (tmp_path / "clip.mp4").read_bytes()
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                    clips.append({"clip_id": clip_id, "frames": FRAMES, "shard": "shard-00000.tar"})
                    landmarks.append({"clip_id": clip_id, "landmarks": points[order].reshape(FRAMES, -1)})
                    about = {"clip_id": clip_id, "speaker": speaker, "style": f"{speaker}/happy/1", "split": part}
                    split.append({**about, "portrait_clip_id": clip_id, "other_audio_clip_id": clip_id})
    tables.write(tables.from_rows(clips, tables.CLIPS), tables.CLIPS, tmp_path / "data/clips/clips.parquet")
    tables.write(tables.from_rows(split, tables.SPLIT), tables.SPLIT, tmp_path / "data/split.parquet")
    columns.write_shard(tmp_path / "data/landmarks/shard-00000.arrow", landmarks)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", ["identity_judge"])
    return tmp_path


def test_another_speaker_lowers_the_likeness(workspace: Path, films) -> None:
    identity_judge.main()
    found = json.loads((workspace / "metrics/identity_judge.json").read_text())
    assert found["speakers"] == 6 and found["held_out/speakers"] == 3 and found["held_out/clips"] == 6
    assert found["held_out/auc"] > 0.95
    assert found["held_out/same_clip"] > found["held_out/other_speaker"] + 0.3

    weights = workspace / "models/identity_judge/weights.safetensors"
    judges = Judges(Settings(size=SIZE, corpus_identity=weights))
    own, other = (Video(frames) for frames, _ in films["test"])
    truth = Truth(own.frames, own.points)
    alike, strange = (score(video, truth, None, judges).values for video in (own, other))
    assert alike["id_sim_corpus"] > 0.8 and strange["id_sim_corpus"] < alike["id_sim_corpus"] - 0.3
    assert "csim" not in alike  # that name is ArcFace's
    nobody = score(Video(np.zeros_like(own.frames)), truth, None, judges).values
    assert np.isnan(nobody["id_sim_corpus"])


def test_equal_data_give_equal_bytes(workspace: Path) -> None:
    weights = workspace / "models/identity_judge/weights.safetensors"
    identity_judge.main()
    first = weights.read_bytes()
    identity_judge.main()
    assert weights.read_bytes() == first


def test_too_few_speakers_are_said_and_stop_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = workspace / "data/split.parquet"
    split = tables.read(path)
    split["speaker"] = split["speaker"].where(split["split"] != "train", "one")
    tables.write(split, tables.SPLIT, path)
    identity_judge.main()
    assert "fewer than 3 speakers" in capsys.readouterr().out
    assert json.loads((workspace / "metrics/identity_judge.json").read_text()) == {"speakers": 1}
    assert not (workspace / "models/identity_judge/weights.safetensors").exists()


def test_worth_of_a_judge_that_knows_nothing_and_of_one_that_knows_all() -> None:
    speakers = np.array(["a", "a", "b", "b"])
    perfect = (speakers[:, None] == speakers).astype(float)
    assert identity_judge.worth(perfect, speakers)[0] == {
        "same_clip": 1,
        "same_speaker": 1,
        "other_speaker": 0,
        "auc": 1,
    }
    assert identity_judge.worth(np.ones((4, 4)), speakers)[0]["auc"] == 0.5
    assert "auc" not in identity_judge.worth(np.ones((2, 2)), np.array(["a", "a"]))[0]
