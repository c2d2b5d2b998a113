"""What this machine has, what it lacks, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table

if TYPE_CHECKING:
    from stages.params import Audio, Evaluate

NETWORKS = {
    "face model": ("models/face_model/face_model.npz", "dvc repro face_model"),
    "denoiser": ("models/denoiser/full/weights.safetensors", "dvc repro train_denoiser@full"),
    "style predictor": ("models/style_predictor/full/weights.safetensors", "dvc repro train_style_predictor@full"),
    "PIRenderer": ("models/renderer/weights.safetensors", "dvc repro train_renderer"),
}
State = Literal["ok", "absent", "missing", "optional"]
COLOURS = {"ok": "green", "absent": "yellow", "missing": "red", "optional": "cyan"}


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was looked for, how it stands, what was found or how to get it."""

    what: str
    state: State
    detail: str


def findings(root: Path) -> Iterator[Finding]:
    """All that the pipeline needs or can use, `root` being the repository."""
    yield _python()
    yield from _packages(root)
    yield _speech()
    yield _face_mesh()
    yield _video()
    yield _gpu()
    yield _processors()
    for name, (file, command) in NETWORKS.items():
        found = (root / file).is_file()
        yield Finding(name, "ok" if found else "absent", file if found else f"`{command}` makes {file}")
    yield from _given(root)


def table(rows: list[Finding]) -> Table:
    result = Table("what", "state", title="dreamtalk doctor", title_justify="left")
    result.add_column("detail", overflow="fold")  # paths are there to be copied
    for row in rows:
        result.add_row(row.what, f"[{COLOURS[row.state]}]{row.state}[/]", row.detail)
    return result


def _python() -> Finding:
    good = (3, 11) <= tuple(map(int, platform.python_version_tuple()[:2])) < (3, 13)
    return Finding(
        "Python",
        "ok" if good else "missing",
        platform.python_version() + ("" if good else ": 3.11 or 3.12 is needed (mediapipe 0.10.21)"),
    )


def _packages(root: Path) -> Iterator[Finding]:
    file = root / "pyproject.toml"
    if not file.is_file():
        return
    wanted = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0] for requirement in wanted]
    absent = [name for name in names if not _version(name)]
    if absent:
        yield Finding("packages", "missing", f"{', '.join(absent)}: `pip install -e .` gets them")
    else:
        yield Finding("packages", "ok", f"all {len(names)}, " + ", ".join(f"{n} {_version(n)}" for n in _SHOWN))


_SHOWN = ("torch", "mediapipe", "dvc", "prefect", "mlflow")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _speech() -> Finding:
    try:
        import espeakng_loader

        library = Path(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
    except ImportError:
        return Finding("espeak-ng", "missing", "`pip install espeakng-loader`; speaks for the demo corpus")
    good = library.exists() and data.exists()
    return Finding("espeak-ng", "ok" if good else "missing", "speaks for the demo corpus" if good else str(library))


def _face_mesh() -> Finding:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        return Finding("face mesh", "missing", "`pip install mediapipe==0.10.21`")
    folder = Path(spec.origin).parent / "modules"
    wanted = ("face_landmark/face_landmark_with_attention.tflite", "face_detection/face_detection_short_range.tflite")
    absent = [name for name in wanted if not (folder / name).is_file()]
    if absent:
        return Finding("face mesh", "missing", f"mediapipe lacks {', '.join(absent)}: 0.10.21 carries them")
    return Finding("face mesh", "ok", "mediapipe's models are inside its wheel; nothing is downloaded")


def _video() -> Finding:
    try:
        import av

        good = {"libx264", "aac"} <= av.codecs_available
    except ImportError:
        good = False
    return Finding("H.264 and AAC", "ok" if good else "missing", "in PyAV" if good else "`pip install av` brings them")


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("GPU", "absent", "torch is not installed")
    if not torch.cuda.is_available():
        return Finding("GPU", "absent", "not needed for the demo profile; the paper profile wants one")
    return Finding("GPU", "ok", torch.cuda.get_device_name())


def _processors() -> Finding:
    from stages.params import ParamsError
    from stages.shards import workers

    try:
        shown = f"{workers()} worker processes (DREAMTALK_WORKERS changes that), {len(os.sched_getaffinity(0))} cores"
    except ParamsError as error:
        return Finding("processors", "missing", str(error))
    return Finding("processors", "ok", shown)


def _given(root: Path) -> Iterator[Finding]:
    """Networks of others that params.yaml names or may name."""
    from stages import params

    try:
        settings = params.load(root / params.PARAMS_FILE)
    except params.ParamsError as error:
        yield Finding("params.yaml", "missing", str(error))
        return
    yield _speech_network(root, settings.audio)
    yield from _judges(root, settings.evaluate)


def _speech_network(root: Path, audio: Audio) -> Finding:
    name, checkpoint = "speech network", audio.checkpoint
    if audio.features == "logmel":
        return Finding(name, "ok", "audio.features is logmel, which needs none; the paper profile listens by one")
    if (root / checkpoint).is_dir():
        return Finding(name, "ok", checkpoint)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):
        if isinstance(try_to_load_from_cache(checkpoint, "config.json"), str):
            return Finding(name, "ok", f"{checkpoint}, in the hub's cache")
    return Finding(
        name, "missing", f"{checkpoint}: the stage audio loads it, or `hf download` does beforehand (README)"
    )


def _judges(root: Path, given: Evaluate) -> Iterator[Finding]:
    """Judges that nothing here may be trained against, and whose weights only their authors give."""
    for name, key, path, how in (
        (
            "SyncNet (published)",
            "syncnet_weights",
            given.syncnet_weights,
            "the sync scores of papers: download syncnet_v2.model of joonson/syncnet_python; "
            "without it the corpus' own judge gives sync_conf_corpus",
        ),
        (
            "ArcFace",
            "arcface_onnx",
            given.arcface_onnx,
            "CSIM: an ArcFace network as ONNX, for example w600k_r50.onnx of insightface (non-commercial research); "
            "without it the corpus' own judge gives id_sim_corpus",
        ),
        (
            "VGG16",
            "vgg16_weights",
            given.vgg16_weights,
            "LPIPS: download vgg16-397923af.pth, torchvision's weights; without it SSIM alone compares pictures",
        ),
    ):
        if path and (root / path).is_file() and key == "arcface_onnx" and not _version("onnxruntime"):
            yield Finding(name, "missing", f"{path} is there, onnxruntime is not: `pip install onnxruntime`")
        elif path and (root / path).is_file():
            yield Finding(name, "ok", str(path))
        elif path:
            yield Finding(name, "missing", f"evaluate.{key} in params.yaml names {path}, which does not exist")
        else:
            yield Finding(name, "optional", f"for {how}; then set evaluate.{key} to the file")
