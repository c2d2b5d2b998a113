"""Acoustic features: their rows, their clock, pitch, and pretrained networks in pieces."""

from __future__ import annotations

import io
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from stages import params, tables
from stages.columns import Columns
from stages.features import audio, speech_network

MEL = params.Audio(features="logmel", checkpoint="none", mel_bands=40, chunk_seconds=30.0)


def tone(hz: float, seconds: float, rate: int = 16000) -> np.ndarray:
    """A voice-like tone: five harmonics."""
    time = np.arange(round(seconds * rate)) / rate
    return sum(0.2 / n * np.sin(2 * np.pi * n * hz * time) for n in range(1, 6)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 639, 640, 641, 1600, 16000, 16001])
def test_a_foreign_voice_gets_two_rows_for_every_frame_it_touches(samples: int) -> None:
    rows = audio.extract(tone(120, samples / 16000), 16000, MEL)
    assert rows.shape == (2 * -(-samples // 640), 43)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("frames", [1, 10, 26, 40])
def test_a_clip_gets_two_rows_for_every_frame_of_its_picture(frames: int) -> None:
    assert audio.extract(tone(120, 1.0), 16000, MEL, frames).shape == (2 * frames, 43)


def test_sound_beyond_the_picture_changes_nothing_but_the_last_windows() -> None:
    voice = tone(150, 2.0)
    cut, whole = audio.extract(voice, 16000, MEL, 25), audio.extract(voice, 16000, MEL)
    np.testing.assert_allclose(cut[:-3], whole[: len(cut) - 3], atol=1e-4)


@pytest.mark.parametrize("row", [0, 20, 57])
def test_a_click_is_loudest_in_the_row_of_its_time(row: int) -> None:
    sound = np.zeros(2 * 16000, np.float32)
    sound[320 * row] = 0.9
    bands = audio.extract(sound, 16000, MEL)[:, :40].mean(1)
    assert bands.argmax() == row
    assert bands[row] > np.delete(bands, row).max()


@pytest.mark.parametrize("hz", [80.0, 113.0, 220.0, 390.0])
def test_pitch_of_a_tone(hz: float) -> None:
    f0, voicing, _ = audio.pitch(torch.from_numpy(tone(hz, 1.0)))
    inner = slice(3, -3)
    assert (f0[inner] / hz - 1).abs().max() < 0.01
    assert voicing[inner].min() > 0.9


def test_noise_and_silence_are_unvoiced() -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=32000)
    for sound in (noise, np.zeros(16000)):
        rows = audio.extract(sound.astype(np.float32), 16000, MEL)
        assert np.isfinite(rows).all()
        assert (rows[:, 41] < 0).mean() > 0.95
        assert (rows[:, 40] == 0).mean() > 0.95


def test_level_is_kept_because_it_carries_emotion() -> None:
    loud, soft = (audio.extract(level * tone(120, 1.0), 16000, MEL)[5:-5] for level in (1.0, 0.1))
    np.testing.assert_allclose(loud[:, 42] - soft[:, 42], np.log(10) / audio.ENERGY[1], atol=0.02)
    np.testing.assert_allclose(loud[:, 40], soft[:, 40], atol=0.02)


def test_other_rates_are_resampled() -> None:
    at_44k, at_16k = (audio.extract(tone(200, 1.0, rate), rate, MEL) for rate in (44100, 16000))
    assert at_44k.shape == at_16k.shape == audio.extract(tone(200, 1.0, 8000), 8000, MEL).shape
    np.testing.assert_allclose(at_44k[5:-5, 40], at_16k[5:-5, 40], atol=0.02)


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros((10, 2)), np.array([0.0, np.nan])])
def test_what_is_no_sound_is_refused(sound: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sound"):
        audio.extract(sound, 16000, MEL)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_windows_stand_around_each_frame_with_zeros_outside(kind) -> None:
    features = kind(1 + np.arange(12.0, dtype=np.float32).reshape(6, 2))
    found = audio.windows(features, window=2)
    assert type(found) is type(features)
    assert found.shape == (3, 5, 2)
    assert found.dtype == features.dtype
    assert found[0, :, 0].tolist() == [0, 0, 1, 3, 5]
    assert found[1, :, 0].tolist() == [1, 3, 5, 7, 9]
    assert found[2, :, 0].tolist() == [5, 7, 9, 11, 0]


@pytest.fixture(scope="module", params=["wav2vec2/layer", "wav2vec2/group", "hubert/layer", "hubert/group"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> params.Audio:
    """A small one of each kind, built as the large ones are (layer norm) and as the base ones (group norm)."""
    kind, norm = request.param.split("/")
    folder = tmp_path_factory.mktemp(kind)
    config, model = {"wav2vec2": (Wav2Vec2Config, Wav2Vec2Model), "hubert": (HubertConfig, HubertModel)}[kind]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    small = config(
        **sizes,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
    )
    model(small).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return params.Audio(features=kind, checkpoint=str(folder), mel_bands=40, chunk_seconds=30.0)


@pytest.mark.parametrize("frames", [1, 7, 25, 26])
def test_networks_miss_no_frame(network: params.Audio, frames: int) -> None:
    found = audio.extract(tone(120, 1.0), 16000, network, frames)
    assert found.shape == (2 * frames, 16)
    assert np.isfinite(found).all()


def test_two_sounds_at_once_do_not_hear_each_other(network: params.Audio) -> None:
    short = network.model_copy(update={"chunk_seconds": 1.0})
    sounds = [tone(120, 4.0), 0.01 * tone(320, 4.0)] * 4
    alone = [audio.extract(sound, 16000, short) for sound in sounds[:2]] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda sound: audio.extract(sound, 16000, short), sounds))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_give_what_the_library_gives(network: params.Audio) -> None:
    sound = torch.from_numpy(tone(120, 1.0))
    model, _ = speech_network.load_network(network.checkpoint)
    with torch.inference_mode():
        plain = model(((sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt())[None]).last_hidden_state[0]
    found = audio.extract(sound.numpy(), 16000, network)
    assert len(plain) == len(found) - 1  # the row that the library leaves out at the end
    np.testing.assert_allclose(found[:40], plain[:40], atol=0.05)


def test_pieces_make_the_whole(network: params.Audio) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.normal(size=20 * 16000) * rng.uniform(0.01, 0.3, 200).repeat(1600)).astype(np.float32)
    sound[len(sound) // 2 :] *= 0.02  # a piece of it alone is another sound than in the whole
    whole = audio.extract(sound, 16000, network)
    pieces = audio.extract(sound, 16000, network.model_copy(update={"chunk_seconds": 6.0}))
    assert pieces.shape == whole.shape == (1000, 16)
    assert np.abs(pieces - whole).max() < 0.02 * whole.std()


@pytest.mark.parametrize("rate", [8000, 16000])
def test_networks_take_silence_and_telephone_sound(network: params.Audio, rate: int) -> None:
    for sound in (np.zeros(rate, np.float32), tone(120, 1.0, rate)):
        found = audio.extract(sound, rate, network)
        assert found.shape == (50, 16)
        assert np.isfinite(found).all()


@pytest.mark.slow
def test_twenty_minutes() -> None:
    rows = audio.extract(np.tile(tone(150, 1.0), 1200), 16000, MEL)
    assert rows.shape == (60000, 43)
    np.testing.assert_allclose(rows[30000:30050], rows[100:150], atol=1e-3)


def test_long_sound_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audio.extract(tone(150, 3.0), 16000, MEL)
    monkeypatch.setattr(audio, "ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(audio.extract(tone(150, 3.0), 16000, MEL), whole)


def test_an_absent_checkpoint_is_named_with_the_way_to_get_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    absent = MEL.model_copy(update={"features": "wav2vec2", "checkpoint": str(tmp_path / "absent")})
    with pytest.raises(speech_network.CheckpointError, match=r"absent.*hf download.*logmel"):
        audio.extract(tone(120, 0.1), 16000, absent)


def write_clips(folder: Path, frames: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    rows = []
    for shard, (clip_id, count) in enumerate(frames.items()):
        content = io.BytesIO()
        soundfile.write(content, tone(100 + 20 * shard, count / 25), 16000, format="WAV", subtype="PCM_16")
        with tarfile.open(folder / f"shard-{shard:05d}.tar", "w") as tar:
            member = tarfile.TarInfo(f"{clip_id}.wav")
            member.size = content.tell()
            content.seek(0)
            tar.addfile(member, content)
        rows.append({"clip_id": clip_id, "frames": count, "audio_rate": 16000, "shard": f"shard-{shard:05d}.tar"})
    tables.write(pd.DataFrame(tables.from_rows(rows, tables.CLIPS)), tables.CLIPS, folder / "clips.parquet")


def test_the_stage_writes_a_shard_beside_each_and_repeats_its_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    write_clips(tmp_path / "clips", {"b": 12, "a": 30})
    counts = audio.run(Path("clips"), Path("one"), MEL)
    assert counts == {"clips": 2, "rows": 84, "channels": 43}
    found = Columns(Path("one"))
    assert {clip: found[clip]["features"].shape for clip in found} == {"a": (60, 43), "b": (24, 43)}
    monkeypatch.setattr("stages.shards.WORK", Path("elsewhere"))
    audio.run(Path("clips"), Path("two"), MEL)
    for name in ("shard-00000.arrow", "shard-00001.arrow"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_another_network_in_the_same_folder_is_heard_anew(network: params.Audio, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    write_clips(tmp_path / "clips", {"a": 10})
    shutil.copytree(network.checkpoint, "network")
    settings = network.model_copy(update={"checkpoint": "network"})
    audio.run(Path("clips"), Path("one"), settings)
    weights = load_file("network/model.safetensors")
    save_file({key: 2 * value for key, value in weights.items()}, "network/model.safetensors", {"format": "pt"})
    speech_network.load_network.cache_clear()  # as in the process of another run
    audio.run(Path("clips"), Path("two"), settings)
    one, two = (Columns(Path(out))["a"]["features"] for out in ("one", "two"))
    assert one.shape == two.shape and not np.array_equal(one, two)
