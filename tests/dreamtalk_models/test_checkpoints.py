from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.lip_expert import LipExpert
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.style_classifier import StyleClassifier
from dreamtalk_models.style_predictor import StylePredictor
from dreamtalk_models.syncnet import SyncNet
from tests.dreamtalk_models.helpers import SMALL, weights

NETWORKS = [
    lambda: Denoiser(motion_dim=6, audio_dim=5, lower=[1], decoder="split", beta_end=0.03, **SMALL),
    lambda: LipExpert(lip_dim=9, audio_dim=7, motion_dim=6, **SMALL),
    lambda: StylePredictor(style_dim=4, audio_dim=5, regression=True, **SMALL),
    lambda: StyleClassifier(classes=3),
    lambda: SyncNet(width=1 / 16, size=48),
    lambda: PIRenderer(driving_dim=5, descriptor=8, warp_channels=4, edit_channels=4, max_channels=8),
]


@pytest.mark.parametrize("make", NETWORKS)
def test_a_file_alone_rebuilds_the_network(tmp_path, make):
    network = make()
    path = tmp_path / "network.safetensors"
    checkpoints.save(network, path, step=7, note="γ")
    again = checkpoints.load(path, type(network))
    assert not again.training
    assert again.config == network.config
    assert checkpoints.read_metadata(path) == {"step": 7, "note": "γ"}
    state = again.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["network.safetensors"]


def test_same_network_same_bytes(tmp_path):
    network = StyleClassifier(classes=3)
    for name in ("a", "b"):
        checkpoints.save(network, tmp_path / name, step=1, seed=2, note="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        checkpoints.save(StyleClassifier(classes=3), tmp_path / "absent" / "network.safetensors")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "network.safetensors"
    checkpoints.save(StyleClassifier(classes=3), path)
    return path


def test_load_names_what_is_wrong_with_a_file(saved):
    with pytest.raises(FileNotFoundError, match="absent"):
        checkpoints.load(saved.with_name("absent"), StyleClassifier)
    with pytest.raises(ValueError, match="holds a StyleClassifier, not a Denoiser"):
        checkpoints.load(saved, Denoiser)
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        checkpoints.load(saved, StyleClassifier)


def test_load_refuses_foreign_files(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="not one of ours"):
        checkpoints.load(path, StyleClassifier)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        checkpoints.load(path, StyleClassifier)


def test_load_names_a_config_or_weight_that_does_not_fit(tmp_path):
    network = StyleClassifier(classes=3)
    path = tmp_path / "network.safetensors"
    network.config["classes"] = 4
    checkpoints.save(network, path)
    with pytest.raises(ValueError, match=r"centres is \(3, 64\) instead of \(4, 64\)"):
        checkpoints.load(path, StyleClassifier)
    network.config["colour"] = "red"
    checkpoints.save(network, path)
    with pytest.raises(ValueError, match="colour"):
        checkpoints.load(path, StyleClassifier)


def test_load_names_sizes_that_cannot_be(tmp_path):
    network = Denoiser(motion_dim=6, audio_dim=5, decoder="single", **SMALL)
    for change in ({"heads": 7}, {"d_model": -1}, {"window": "wide"}):
        network.config = {**network.config, **change}
        checkpoints.save(network, tmp_path / "network.safetensors")
        with pytest.raises(ValueError, match=r"network.safetensors: its config does not fit Denoiser"):
            checkpoints.load(tmp_path / "network.safetensors", Denoiser)


@pytest.fixture
def official(tmp_path, golden):
    """Writes an official denoiser file with one change; returns its path."""
    state = weights(golden("dreamtalk_denoiser_small.npz"), "diff_net.")

    def write(change=lambda state: None):
        changed = dict(state)
        change(changed)
        path = tmp_path / "denoising_network.pth"
        torch.save({"model_state_dict": changed}, path)
        return path

    return write


KEY = "diff_net.net.decoder.upper_decoder.layers.0.linear1.weight"


def test_sizes_are_read_from_an_official_file(official):
    network = checkpoints.load_official("denoiser", official())
    assert not network.training
    sizes = {"d_model": 32, "heads": 4, "feedforward": 64, "layers": 3, "audio_dim": 1024, "window": 5}
    assert network.config.items() >= sizes.items()
    assert checkpoints.load_official("denoiser", official(), heads=8).config["heads"] == 8
    with pytest.raises(ValueError, match="5 heads"):
        checkpoints.load_official("denoiser", official(), heads=5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop(KEY), f"missing {KEY}"),
        (lambda state: state.update({KEY: torch.ones(64, 31)}), rf"{KEY} is \(64, 31\) instead of \(64, 32\)"),
        (lambda state: state.update({"diff_net.more": torch.ones(1)}), "unexpected diff_net.more"),
        (lambda state: state.pop("diff_net.null_style_clip"), "null_style_clip is missing"),
        (lambda state: state.clear(), "missing diff_net.net.content_encoder"),
        (lambda state: state.update({KEY: "text"}), "not a plain dict of tensors"),
    ],
)
def test_official_files_that_do_not_fit_are_named(official, change, says):
    with pytest.raises(ValueError, match=says):
        checkpoints.load_official("denoiser", official(change))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_official_files(official, share):
    path = official()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="truncated"):
        checkpoints.load_official("denoiser", path)


class Code:
    """Pickles as a call that would leave a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return type(self.trace).touch, (self.trace,)


@pytest.mark.parametrize("kind", ["denoiser", "pirenderer", "syncnet"])
@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_pickled_code_is_not_run(tmp_path, kind, write):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    write({"model_state_dict": {"a": torch.ones(1), "b": Code(trace)}}, path)
    with pytest.raises(ValueError, match="pickled objects"):
        checkpoints.load_official(kind, path)
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["denoiser", "pirenderer"])
def test_a_file_of_another_kind(tmp_path, kind):
    path = tmp_path / "weights.pth"
    torch.save({"state": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="its keys are state"):
        checkpoints.load_official(kind, path)


def test_pirenderer_and_syncnet_files(tmp_path, golden):
    path = tmp_path / "weights.pth"
    state = weights(golden("pirenderer_small.npz"))
    torch.save({"net_G_ema": state, "net_G": state}, path)
    assert checkpoints.load_official("pirenderer", path).config["warp_channels"] == 4
    torch.save(SyncNet().state_dict(), path)
    assert not checkpoints.load_official("syncnet", path).training


def test_refuses_unknown_kinds_and_misplaced_heads(tmp_path):
    with pytest.raises(ValueError, match="denoiser, pirenderer, syncnet"):
        checkpoints.load_official("wav2lip", tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError):
        checkpoints.load_official("syncnet", tmp_path / "weights.pth")
