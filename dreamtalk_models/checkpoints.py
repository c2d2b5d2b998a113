"""Networks on disk: our own safetensors files, and the published PyTorch files.

A file of ours holds the weights and, as JSON in the header, the network's class name and `config`, so that the file
alone rebuilds the network. Nothing here ever unpickles code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dreamtalk_models.published import ADAPTERS, WeightsError, fit_weights

Network = TypeVar("Network", bound=nn.Module)
HEADER = "dreamtalk"


def save(module: nn.Module, path: str | Path, **metadata: Any) -> None:
    """Write a network and what made it; the same weights and metadata give the same bytes.

    Args:
        module: a network with a `config` dict, the keyword arguments of its class.
        metadata: anything that JSON can hold; :func:`read_metadata` gives it back.

    Raises:
        TypeError: metadata or config is not JSON.
        OSError: it cannot be written; a full disk is one with errno ENOSPC.
    """
    path = Path(path)
    header = {"class": type(module).__name__, "config": module.config, "metadata": metadata}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    # one key: safetensors writes several in no fixed order
    write(tensors, partial, {HEADER: json.dumps(header, sort_keys=True)})
    partial.replace(path)


def write(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file.

    Raises:
        OSError: it cannot be written; safetensors itself raises an error that tells the system's only in its text.
    """
    try:
        save_file(dict(tensors), path, metadata=header and dict(header))
    except SafetensorError as error:
        code = re.search(r"\(os error (\d+)\)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


def load(path: str | Path, cls: type[Network]) -> Network:
    """Rebuild a saved network, in eval mode, on the CPU.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: not a safetensors file of ours, of another class, or its weights do not fit; says which.
    """
    header, weights = _read(Path(path))
    if header["class"] != cls.__name__:
        raise WeightsError(f"{path} holds a {header['class']}, not a {cls.__name__}")
    try:
        module = cls(**header["config"])
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise WeightsError(f"{path}: its config does not fit {cls.__name__}: {error}") from error
    return fit_weights(module, weights, name=str(path))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What was given to :func:`save` beside the network. Raises as :func:`load` does."""
    return _read(Path(path))[0]["metadata"]


def read_class(path: str | Path) -> str:
    """The name of the saved network's class. Raises as :func:`load` does."""
    return _read(Path(path))[0]["class"]


def load_official(kind: str, path: str | Path, heads: int | None = None) -> nn.Module:
    """A published network from its authors' file, in eval mode, on the CPU; sizes are read from the tensors.

    Args:
        kind: "denoiser" (DreamTalk: weights under `model_state_dict`, prefixed `diff_net.`), "pirenderer" (under
            `net_G_ema`) or "syncnet" (SyncNet v2, a plain dict).
        heads: attention heads of the denoiser, which no tensor tells. None: 8 heads, or as many as divide d_model
            into heads of at least 8 channels, which is 8 for the published 256 and 4 for 32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown kind.
        WeightsError: the file is truncated, holds pickled code, or lacks, adds or reshapes a tensor.
    """
    if kind not in ADAPTERS:
        raise ValueError(f"kind must be one of {', '.join(ADAPTERS)}, not {kind!r}")
    content = _unpickle_tensors(Path(path))
    options = {} if heads is None else {"heads": heads}
    if options and kind != "denoiser":
        raise ValueError(f"heads is for the denoiser; {kind} has no attention")
    return ADAPTERS[kind](content, name=str(path), **options)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); make or fetch it again") from error
    except (KeyError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path} is a safetensors file, but not one of ours: no {HEADER!r} header") from error


def _unpickle_tensors(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes can make the unpickler fail in any way
        refused = re.search(r"unsupported (global|operand).*", str(error), re.IGNORECASE)
        if refused:
            raise WeightsError(
                f"{path} holds pickled objects besides tensors and was not opened: {refused[0]}"
            ) from error
        reason = str(error).partition(". ")[0] or type(error).__name__
        raise WeightsError(f"{path} is truncated or not a PyTorch file; fetch it again ({reason})") from error
