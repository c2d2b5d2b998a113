"""Adapters: one per published network, from the tensors of its authors' file to our module.

This is the one door for foreign weights: sizes come from the tensors, names are translated here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.syncnet import SyncNet

Network = TypeVar("Network", bound=nn.Module)
Weights = dict[str, Tensor]


class WeightsError(ValueError):
    """A file does not hold the network that is wanted; the text says which file, and why."""


_DENOISER_NAMES = {
    "diff_net.net.content_encoder.increase_embed_dim.": "audio_encoder.project.",
    "diff_net.net.content_encoder.encoder.": "audio_encoder.encoder.",
    "diff_net.net.style_encoder.increase_embed_dim.": "style_encoder.frames.project.",
    "diff_net.net.style_encoder.encoder.": "style_encoder.frames.encoder.",
    "diff_net.net.style_encoder.aggregate_method.W.": "style_encoder.pool.score.",
    "diff_net.net.time_embed_net.": "time.",
    "diff_net.net.content_xt_to_decoder_input_wo_time.": "mix.",
    "diff_net.net.decoder.upper_decoder.": "decoders.upper.",
    "diff_net.net.decoder.lower_decoder.": "decoders.lower.",
    "diff_net.net.decoder.upper_tail_fc.": "tails.upper.",
    "diff_net.net.decoder.lower_tail_fc.": "tails.lower.",
}
_NET = "diff_net.net."
_SCHEDULE = "diff_net.var_sched."


def fit_weights(
    module: Network, weights: Weights, name: str, their_name: Callable[[str], str] = lambda key: key
) -> Network:
    """Load weights into a module that must want exactly these; returns it in eval mode.

    Args:
        their_name: our parameter name → the name in `weights`.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape or not finite; names the first few of them.
    """
    wanted = {their_name(key): (key, tensor) for key, tensor in module.state_dict().items()}
    faults = [f"missing {key}" for key in wanted if key not in weights]
    faults += [f"unexpected {key}" for key in weights if key not in wanted]
    faults += [
        f"{key} is {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}"
        for key, (_, tensor) in wanted.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    faults += [f"{key} has values that are not finite" for key in weights if not weights[key].isfinite().all()]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(f"{name} does not fit {type(module).__name__}: {'; '.join(faults[:5])}{more}")
    module.load_state_dict({ours: weights[theirs] for theirs, (ours, _) in wanted.items()})
    return module.eval()


def denoiser(content: Any, name: str, heads: int | None = None) -> Denoiser:
    """DreamTalk's denoising network; see :func:`dreamtalk_models.checkpoints.load_official`."""
    weights = _section(content, "model_state_dict", name)
    weights = {key: tensor for key, tensor in weights.items() if key.startswith("diff_net.")}
    d_model, audio_dim = _shape(weights, f"{_NET}content_encoder.increase_embed_dim.weight", 2, name)
    heads = heads or max(1, min(8, d_model // 8))
    if d_model % heads:
        raise WeightsError(f"{name}: d_model {d_model} does not divide into {heads} heads; say how many it has")
    module = Denoiser(
        motion_dim=_shape(weights, f"{_NET}style_encoder.increase_embed_dim.weight", 2, name)[1],
        audio_dim=audio_dim,
        window=_shape(weights, f"{_NET}content_encoder.pos_embed.pos_table", 3, name)[1] // 2,
        style_frames=_shape(weights, f"{_NET}style_encoder.pos_embed.pos_table", 3, name)[1],
        d_model=d_model,
        heads=heads,
        feedforward=_shape(weights, f"{_NET}content_encoder.encoder.layers.0.linear1.weight", 2, name)[0],
        layers=_count(weights, f"{_NET}content_encoder.encoder.layers."),
        diffusion_steps=_shape(weights, f"{_SCHEDULE}alpha_bars", 1, name)[0] - 1,
    )
    constants = _denoiser_constants(module)
    learned = {key: weight for key, weight in weights.items() if key not in constants}
    faults = [
        f"{key} is {tuple(weights[key].shape) if key in weights else 'missing'} instead of {shape}"
        for key, shape in constants.items()
        if key not in weights or weights[key].shape != shape
    ]
    if faults:
        raise WeightsError(f"{name} does not fit Denoiser: {'; '.join(faults)}")
    return fit_weights(module, learned, name, _denoiser_name)


def pirenderer(content: Any, name: str) -> PIRenderer:
    """PIRenderer's generator; see :func:`dreamtalk_models.checkpoints.load_official`."""
    weights = _section(content, "net_G_ema", name)
    descriptor, driving, _ = _shape(weights, "mapping_net.first.0.weight", 3, name)
    base = "warpping_net.hourglass.encoder"
    module = PIRenderer(
        driving_dim=driving,
        descriptor=descriptor,
        warp_channels=_shape(weights, f"{base}.input_layer.weight", 4, name)[0],
        edit_channels=_shape(weights, "editing_net.encoder.first.model.0.weight", 4, name)[0],
        max_channels=max(
            _shape(weights, f"{base}.encoder4.conv_1.weight", 4, name)[0],
            _shape(weights, "editing_net.encoder.down2.model.0.weight", 4, name)[0],
        ),
    )
    return fit_weights(module, weights, name)


def syncnet(content: Any, name: str) -> SyncNet:
    """SyncNet v2; see :func:`dreamtalk_models.checkpoints.load_official`."""
    return fit_weights(SyncNet(), _tensors(content, name), name)


ADAPTERS = {"denoiser": denoiser, "pirenderer": pirenderer, "syncnet": syncnet}


def _denoiser_name(ours: str) -> str:
    for theirs, prefix in _DENOISER_NAMES.items():
        if ours.startswith(prefix):
            return theirs + ours.removeprefix(prefix)
    return ours


def _denoiser_constants(module: Denoiser) -> dict[str, tuple[int, ...]]:
    """Shapes of what the published file stores and we compute: positions, the null style, the noise schedule."""
    tokens, d_model = module.positions.shape
    times = module.schedule.steps + 1
    return {
        f"{_NET}content_encoder.pos_embed.pos_table": (1, tokens, d_model),
        f"{_NET}style_encoder.pos_embed.pos_table": (1, module.style_frames, d_model),
        f"{_NET}decoder.pos_embed.pos_table": (1, tokens, d_model),
        "diff_net.null_style_clip": (module.style_frames, module.motion_dim),
        "diff_net.null_pad_mask": (module.style_frames,),
        **{
            f"{_SCHEDULE}{name}": (times,) for name in ("betas", "alphas", "alpha_bars", "sigmas_flex", "sigmas_inflex")
        },
    }


def _section(content: Any, section: str, name: str) -> Weights:
    if not isinstance(content, Mapping) or section not in content:
        found = f"its keys are {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else "no dict"
        raise WeightsError(f"{name} has no {section!r} ({found}): is it a file of this kind?")
    return _tensors(content[section], f"{name}, {section!r}")


def _tensors(content: Any, name: str) -> Weights:
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{name} is not a plain dict of tensors")
    return dict(content)


def _shape(weights: Weights, key: str, dims: int, name: str) -> tuple[int, ...]:
    if key not in weights:
        raise WeightsError(f"{name} does not fit: missing {key}")
    if weights[key].dim() != dims:
        raise WeightsError(f"{name} does not fit: {key} has {weights[key].dim()} dimensions instead of {dims}")
    return tuple(weights[key].shape)


def _count(weights: Weights, prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in weights if key.startswith(prefix)})
