from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.syncnet import SyncNet, sync_offset
from tests.dreamtalk_models.helpers import assert_golden, overfit, without_gradient


def test_has_the_published_parameters(golden_json):
    state = SyncNet().state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == golden_json("syncnet_keys.json")


def test_computes_the_published_function(golden):
    random, network = np.random.RandomState(3), SyncNet().eval()
    state = network.state_dict()
    for key in sorted(key for key, tensor in state.items() if tensor.is_floating_point()):
        shape = tuple(state[key].shape)
        r = random.standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            r = r * np.sqrt(2 / np.prod(shape[1:])).astype(np.float32)
        elif key.endswith("running_var"):
            r = 1 + 0.1 * np.abs(r)
        else:
            r = 1 + 0.1 * r if key.endswith("weight") else 0.1 * r
        state[key] = torch.from_numpy(r.astype(np.float32))
    network.load_state_dict(state)
    lip = torch.from_numpy(random.randint(0, 256, (2, 3, 5, 224, 224)).astype(np.float32))
    audio = torch.from_numpy(random.standard_normal((2, 1, 13, 20)).astype(np.float32) * 10)
    vectors = golden("syncnet.npz")
    with torch.no_grad():
        assert_golden(network.forward_lip(lip), vectors["out/lip"])
        assert_golden(network.forward_audio(audio), vectors["out/audio"])


def test_offset_protocol_is_the_published_one(golden, golden_json):
    vectors, answer = golden("syncnet.npz"), golden_json("syncnet_offset.json")
    result = sync_offset(vectors["pd/feat_video"].float(), vectors["pd/feat_audio"].float(), answer["vshift"])
    assert result.offset == answer["offset"]
    assert result.min_dist == pytest.approx(answer["min_distance"], rel=1e-5)
    assert result.confidence == pytest.approx(answer["confidence"], rel=1e-5)


@pytest.mark.parametrize("delay", [-4, 0, 7])
def test_offset_finds_a_delay(delay):
    features = torch.randn(80, 16)
    result = sync_offset(features[20:60], features[20 - delay : 60 - delay], vshift=10)
    assert result.offset == -delay
    assert result.min_dist < result.confidence


def test_offset_refuses_sequences_that_do_not_pair():
    with pytest.raises(ValueError, match="as many"):
        sync_offset(torch.zeros(5, 8), torch.zeros(6, 8))
    with pytest.raises(ValueError, match="at least one"):
        sync_offset(torch.zeros(0, 8), torch.zeros(0, 8))


@pytest.mark.parametrize("size", [48, 64, 96, 112])
def test_scaled_judge_takes_small_crops(size):
    judge = SyncNet(width=1 / 8, size=size).eval()
    embedding = judge.forward_lip(torch.rand(2, 3, 5, size, size) * 255)
    assert embedding.shape == judge.forward_audio(torch.randn(2, 1, 13, 20)).shape == (2, 128)
    assert sum(p.numel() for p in judge.parameters()) < 600_000


def test_refuses_crops_that_are_too_small():
    with pytest.raises(ValueError, match="16 px"):
        SyncNet(size=16)


def test_judge_learns_pairs():
    judge = SyncNet(width=1 / 16, size=48)
    lips, sounds = torch.rand(4, 3, 5, 48, 48) * 255, torch.randn(4, 1, 13, 20)

    def loss():
        distance = torch.cdist(judge.forward_lip(lips), judge.forward_audio(sounds))
        return torch.nn.functional.cross_entropy(-distance, torch.arange(4))

    first, last = overfit(judge, loss, steps=40)
    assert last < 0.1 < first
    # a bias before a batch norm changes nothing
    assert {name.rsplit(".", 1)[1] for name in without_gradient(judge)} <= {"bias"}
