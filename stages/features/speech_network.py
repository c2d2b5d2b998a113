"""Hidden states of pretrained speech networks, wav2vec 2.0 and HuBERT, at 50 Hz."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RATE = 16000
HOP = 320
FIELD = 400  # samples that one row is made from
STEPS_AT_ONCE = 65536  # of the first layer, when it is measured; bounds memory

_ONE_SOUND = threading.Lock()  # the network is shared, and is fitted to the sound that goes through it


class CheckpointError(RuntimeError):
    """A pretrained speech network is not at hand; the text says how to get it."""


def hidden_states(sound: Tensor, checkpoint: str, chunk_seconds: float) -> Tensor:
    """The last hidden states of a pretrained speech network.

    Long sounds go through in pieces that overlap by a third of `chunk_seconds`, of which the middle is kept. Attention
    reaches over all of a piece, so that is not exactly what the whole would give: with random weights no value is
    further from the whole's than 0.01 standard deviations, in pieces of 6 s as of 30 s.

    Args:
        sound: (rows * 320,) at 16 kHz.
        checkpoint: a model of the transformers library: name on its hub, or local folder.
        chunk_seconds: longest piece.

    Returns:
        (rows, width) float32.

    Raises:
        CheckpointError: see :func:`load_network`.
    """
    network, normalise = load_network(checkpoint)
    rows = len(sound) // HOP
    if normalise:
        sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
    sound = functional.pad(sound, (0, FIELD - HOP))  # the network's first layers need 400 samples for the last row
    chunk = max(round(chunk_seconds * RATE / HOP), 3)
    with _ONE_SOUND:
        return _run(network, sound, rows) if rows <= chunk else _in_pieces(network, sound, rows, chunk)


def _in_pieces(network: PreTrainedModel, sound: Tensor, rows: int, chunk: int) -> Tensor:
    context = chunk // 3
    pieces = []
    with _normalised_by_the_whole(network, sound):
        for start in range(0, rows, chunk - 2 * context):
            first = max(start - context, 0)
            last = min(start + chunk - context, rows)
            piece = _run(network, sound[first * HOP : last * HOP + FIELD - HOP], last - first)
            pieces.append(piece[start - first : start - first + chunk - 2 * context])
    return torch.cat(pieces)[:rows]


@lru_cache(maxsize=1)
def load_network(checkpoint: str) -> tuple[PreTrainedModel, bool]:
    """A pretrained speech network, and whether it wants sounds of zero mean and unit variance.

    Raises:
        CheckpointError: it is neither a local folder nor in the local cache nor to be had from the hub.
    """
    from transformers import AutoFeatureExtractor, AutoModel

    try:
        normalise = AutoFeatureExtractor.from_pretrained(checkpoint).do_normalize
        network = AutoModel.from_pretrained(checkpoint, use_safetensors=Path(checkpoint).is_dir() or None)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"audio.checkpoint {checkpoint!r} cannot be loaded ({str(error).splitlines()[0]}). "
            f"With a network connection: `hf download {checkpoint} --local-dir models/pretrained/audio`, then set "
            "audio.checkpoint to that folder; or set audio.features to logmel, which needs no checkpoint."
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.eval().to(device), bool(normalise)


@torch.inference_mode()
def _run(network: PreTrainedModel, sound: Tensor, rows: int) -> Tensor:
    states = network(sound[None].to(network.device)).last_hidden_state[0].float().cpu()
    if len(states) == rows:
        return states
    return functional.interpolate(states.T[None], size=rows, mode="linear", align_corners=True)[0].T


@contextmanager
def _normalised_by_the_whole(network: PreTrainedModel, sound: Tensor) -> Iterator[None]:
    """Let the network's pieces be normalised as the whole sound would be.

    The smaller networks (wav2vec 2.0 and HuBERT "base") normalise each channel of their first layer over all that they
    hear, so that a soft piece alone would come out as loud as any.
    """
    first = network.feature_extractor.conv_layers[0]
    norm = getattr(first, "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        yield
        return
    mean, variance = _moments(first.conv, sound)

    def normalise(_: nn.Module, inputs: tuple[Tensor], __: Tensor) -> Tensor:
        scaled = (inputs[0] - mean) / (variance + norm.eps).sqrt()
        return scaled * norm.weight[:, None] + norm.bias[:, None]

    hook = norm.register_forward_hook(normalise)
    try:
        yield
    finally:
        hook.remove()


@torch.inference_mode()
def _moments(conv: nn.Conv1d, sound: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over time of each channel of a convolution of the sound, (C, 1) each."""
    width, stride = conv.kernel_size[0], conv.stride[0]
    steps = (len(sound) - width) // stride + 1
    total = square = 0.0
    for start in range(0, steps, STEPS_AT_ONCE):
        last = min(start + STEPS_AT_ONCE, steps) - 1
        heard = conv(sound[None, None, start * stride : last * stride + width].to(conv.weight.device))[0].double()
        total, square = total + heard.sum(1, keepdim=True), square + heard.square().sum(1, keepdim=True)
    mean = total / steps
    return mean.float(), (square / steps - mean.square()).clamp(min=0).float()
