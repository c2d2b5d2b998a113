from __future__ import annotations

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from dreamtalk_models import checkpoints
from dreamtalk_models.lip_expert import LipExpert
from stages import shards
from stages.training import denoiser, lip_expert, session


@pytest.fixture
def workdir(toy, root: Path, tmp_path: Path, monkeypatch) -> Path:
    """A folder to run stages in: the toy corpus and the demo's parameters, made tiny."""
    shutil.copytree(toy.root, tmp_path, dirs_exist_ok=True)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["lip_expert"] |= {"steps": 6, "batch": 16, "d_model": 16, "feedforward": 16, "embedding": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "mlflow").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", ["lip_expert", "style_aware"])
    return tmp_path


@pytest.mark.slow
def test_stage_writes_weights_curves_and_metrics_and_leaves_no_state(workdir: Path) -> None:
    lip_expert.main()
    out = workdir / "models/lip_expert/style_aware"
    written = {path.name for path in out.iterdir()}
    assert written == {"figures", "history.parquet", "run.json", "weights.safetensors"}
    assert checkpoints.load(out / "weights.safetensors", LipExpert).style_aware
    metrics = json.loads((workdir / "metrics/lip_expert/style_aware.json").read_text())
    assert 0 <= metrics["test/balanced_accuracy"] <= 1
    assert not list((workdir / shards.WORK / "train_lip_expert").iterdir())


def test_missing_input_is_one_line_and_code_2(workdir: Path, capsys, monkeypatch) -> None:
    (workdir / "params.yaml").unlink()
    with pytest.raises(SystemExit) as stopped, session.session("train_lip_expert", "lip_expert"):
        pass
    assert stopped.value.code == 2
    assert "params.yaml is missing" in capsys.readouterr().err


def test_what_is_compared_with_a_section_shares_its_seed_but_not_its_folder(workdir: Path) -> None:
    params = yaml.safe_load((workdir / "params.yaml").read_text()) | {"training_seed": 7}
    (workdir / "params.yaml").write_text(yaml.safe_dump(params))
    with session.session("train_regressor", "denoiser", folder="regressor") as own:
        assert own.seed == 7
        assert own.out == Path("models/regressor")
    assert (workdir / "metrics/regressor.json").is_file()
    with session.session("train_syncnet", "syncnet") as judge:
        assert judge.seed == params["seed"]


def test_a_dot_in_a_variants_name_stays(workdir: Path) -> None:
    for variant in ("w0.02", "w0.05"):
        with session.session("train_denoiser", "denoiser", variant) as own:
            own.run.summary({"weight": float(variant[1:])})
    for variant in ("w0.02", "w0.05"):
        assert json.loads((workdir / f"metrics/denoiser/{variant}.json").read_text()) == {"weight": float(variant[1:])}


def test_a_killed_training_does_not_go_on_with_another_lip_expert(workdir: Path, monkeypatch) -> None:
    expert = workdir / "models/lip_expert/style_aware/weights.safetensors"
    expert.parent.mkdir(parents=True)
    expert.touch()
    (workdir / "models/face_model/face_model.npz").unlink()  # ends each run after its state has its place
    for guide in ("style_aware", "none"):
        monkeypatch.setattr(sys, "argv", ["denoiser", "mine", "--lip-expert", guide])
        with pytest.raises(SystemExit):
            denoiser.main()
    assert len(list((workdir / shards.WORK / "train_denoiser").iterdir())) == 2


def test_a_killed_training_does_not_go_on_with_another_file_that_a_parameter_names(workdir: Path) -> None:
    params = yaml.safe_load((workdir / "params.yaml").read_text())
    params["renderer"]["init"] = "published.pt"
    (workdir / "params.yaml").write_text(yaml.safe_dump(params))
    for content in ("one", "another"):
        (workdir / "published.pt").write_text(content)
        with pytest.raises(SystemExit), session.session("train_renderer", "renderer", files=("init", "vgg")):
            raise FloatingPointError
    assert len(list((workdir / shards.WORK / "train_renderer").iterdir())) == 2


def test_a_second_run_of_a_training_waits_for_the_first_and_says_so(workdir: Path, capsys) -> None:
    def train() -> list[Path]:
        with session.session("train_denoiser", "denoiser", "mine") as second:
            return list(second.out.iterdir())

    with ThreadPoolExecutor(1) as pool:
        with session.session("train_denoiser", "denoiser", "mine") as first:
            files = [first.out / "weights.safetensors", first.work / "last.safetensors"]
            for file in files:
                file.touch()
            waiting, said = pool.submit(train), ""
            while "train_denoiser/mine: another run is training the same network; waiting" not in said:
                assert not waiting.done()
                time.sleep(0.05)
                said += capsys.readouterr().out
            assert all(file.exists() for file in files)
        assert waiting.result(timeout=300) == []


def test_damaged_inputs_are_one_line_and_code_2(workdir: Path, capsys, monkeypatch) -> None:
    face, expert = "models/face_model/face_model.npz", "models/lip_expert/style_aware/weights.safetensors"
    (workdir / expert).parent.mkdir(parents=True)
    (workdir / expert).write_bytes(b"no weights")
    whole = (workdir / face).read_bytes()
    monkeypatch.setattr(sys, "argv", ["denoiser", "full", "--lip-expert", "style_aware"])
    for damaged, content in ((face, whole[:500]), (expert, whole)):
        (workdir / face).write_bytes(content)
        with pytest.raises(SystemExit) as stopped:
            denoiser.main()
        assert stopped.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"train_denoiser: {damaged} is not a")
