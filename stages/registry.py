"""Trained networks in MLflow's registry: safetensors in, our own classes out, at any batch size; nothing is pickled.

A registered model is one kind of network of one profile ("dreamtalk-demo-denoiser"), a version is one training, and
the alias "best" marks the version with the best number of :data:`BEST`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from torch import nn

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.identity_judge import IdentityJudge
from dreamtalk_models.lip_expert import LipExpert
from dreamtalk_models.regressor import Regressor
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.style_classifier import StyleClassifier
from dreamtalk_models.style_predictor import StylePredictor
from dreamtalk_models.syncnet import SyncNet

CLASSES = {
    "denoiser": Denoiser,
    "identity_judge": IdentityJudge,
    "lip_expert": LipExpert,
    "regressor": Regressor,
    "renderer": PIRenderer,
    "style_classifier": StyleClassifier,
    "style_predictor": StylePredictor,
    "syncnet": SyncNet,
}
# What makes a version the best of its kind, and whether more of it is better: validation numbers where there are any.
BEST = {
    "denoiser": ("val/mouth_error/sampled", False),
    "identity_judge": ("held_out/auc", True),
    "lip_expert": ("val/balanced_accuracy", True),
    "regressor": ("val/mouth_error/sampled", False),
    "renderer": ("val/l1/drawn", False),
    "style_classifier": ("test/accuracy", True),
    "style_predictor": ("val/code_distance/predicted", False),
    "syncnet": ("val/confidence", True),
}
WEIGHTS = "weights.safetensors"
SAME = ("dvc_lock", "study", "point")  # of two versions that are one


def register(name: str, weights: Path, metrics: dict[str, float], tags: dict[str, str], run_id: str) -> None:
    """Add a version of model `name` to the registry, made by a run; move "best" if it is.

    A version that is there already (of this run, or of equal `dvc_lock`, study and point) is not added again: what a
    call that was cut off has left out is made up for.

    Args:
        weights: "models/<kind>[/<variant>]/weights.safetensors".
        run_id: of the run, which may have ended.
    """
    kind = weights.parts[1]
    client = mlflow.MlflowClient()
    version = _version(client, name, tags, run_id) or _add(name, weights, run_id)
    for key, value in {**tags, "kind": kind}.items():
        client.set_model_version_tag(name, version, key, value)
    metric, more = BEST[kind]
    if metric not in metrics:
        return
    value = metrics[metric]
    client.set_model_version_tag(name, version, metric, repr(value))
    best = _best(client, name, metric)
    if best is None or (value > best if more else value < best):
        client.set_registered_model_alias(name, "best", version)


def _version(client: mlflow.MlflowClient, name: str, tags: dict[str, str], run_id: str) -> str | None:
    def same(there: ModelVersion) -> bool:
        return all(there.tags.get(tag, "") == tags.get(tag, "") for tag in SAME)

    versions = client.search_model_versions(f"name = '{name}'")
    return next((str(there.version) for there in versions if there.run_id == run_id or same(there)), None)


def _add(name: str, weights: Path, run_id: str) -> str:
    """As ``mlflow.pyfunc.log_model``, which would want the run open, and so set back to running."""
    info = Model.log(
        None,
        mlflow.pyfunc,
        name="network",
        run_id=run_id,
        loader_module=__name__,
        data_path=str(weights),
        registered_model_name=name,
        pip_requirements=["torch", "safetensors"],  # MLflow would import everything to find out
        metadata={"kind": weights.parts[1]},
    )
    return str(info.registered_model_version)


def load(name: str, alias: str = "best") -> nn.Module:
    """The network that `alias` of model `name` means, in eval mode, on the CPU.

    Raises:
        MlflowException: no such model, or no such alias.
    """
    return mlflow.pyfunc.load_model(f"models:/{name}@{alias}").get_raw_model()


def _best(client: mlflow.MlflowClient, name: str, metric: str) -> float | None:
    try:
        tags = client.get_model_version_by_alias(name, "best").tags
    except MlflowException:
        return None
    return float(tags[metric]) if metric in tags else None


def _load_pyfunc(path: str) -> _Loaded:
    """MLflow calls this with the file that was registered."""
    file = Path(path)
    header = checkpoints.read_class(file)
    cls = next(cls for cls in CLASSES.values() if cls.__name__ == header)
    return _Loaded(checkpoints.load(file, cls))


class _Loaded:
    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def predict(self, inputs: dict[str, Any], params: dict | None = None) -> Any:
        """Call the network with keyword arguments, tensors by name."""
        return self._network(**inputs)

    def get_raw_model(self) -> nn.Module:
        return self._network
