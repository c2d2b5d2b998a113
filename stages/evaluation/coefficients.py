"""Coefficients of one video as a file: MATLAB in the published layout (Deep3DFaceRecon's), or Parquet.

``.mat``: `coeff` (n, 257) = identity 0:80, expression 80:144, texture 144:224 (zero), angles 224:227 (rad), lighting
227:254 (zero), translation 254:257; `transform_params` (n, 5): pose and place in the published convention, see
published_pose.py. Identity and expression belong to the face model that was fitted: with the Basel Face Model they are
what DreamTalk, StyleTalk and PIRenderer call so. Files of ours have more: `face_model`, the digest of that model,
`dimensions`, `fps`, and `angles` and `translation` in our convention. ``.parquet``: one row a frame, in our convention.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from scipy.io.matlab import MatReadError

from stages.evaluation.inputs import InputError, check_input
from stages.evaluation.motion import Pose
from stages.evaluation.published_pose import from_published, to_published
from stages.files import atomic_path

SUFFIXES = (".mat", ".parquet")
IDENTITY, EXPRESSION, ANGLES, TRANSLATION, WIDTH = slice(0, 80), slice(80, 144), slice(224, 227), slice(254, 257), 257
CROP = (1.0, 0.0, 0.0)  # scale and shift of the frame: coefficients are fitted in the frame itself


@dataclass(frozen=True)
class Coefficients:
    """One video's coefficients.

    Attributes:
        identity: (I,). expression: (n, D). pose: of n frames. rmse: (n,) px.
        size: (width, height) of the video, px.
        face_model: digest of the face model; None in a file of the published kind, whose expression basis is another.
        fps: frames a second; None where a file does not say.
    """

    identity: np.ndarray
    expression: np.ndarray
    pose: Pose
    rmse: np.ndarray
    size: tuple[int, int]
    face_model: str | None
    fps: float | None


def write(coefficients: Coefficients, path: Path) -> None:
    """Write .mat or .parquet, by the name's end; equal coefficients give equal bytes.

    Raises:
        InputError: the face model has more dimensions than the .mat layout holds.
    """
    with atomic_path(path) as tmp:
        (_write_mat if path.suffix.lower() == ".mat" else _write_parquet)(coefficients, tmp)


def read(path: Path) -> Coefficients:
    """Read what :func:`write` wrote, or a .mat file of the published kind.

    Raises:
        InputError: missing, damaged, or without the coefficients; names the file and what it lacks.
    """
    check_input(path)
    try:
        found = (_read_mat if path.suffix.lower() == ".mat" else _read_parquet)(path)
    except KeyError as error:
        raise InputError(f"{path} has no {error}: is it a file of coefficients, as `dreamtalk fit` writes?") from error
    except (ValueError, TypeError, OSError, NotImplementedError, MatReadError, zlib.error, pa.ArrowInvalid) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as coefficients: {error}") from error
    _check(found, path)
    return found


def at_rate(found: Coefficients, was: float, fps: float) -> Coefficients:
    """The same motion with `fps` frames a second in place of `was`, by linear interpolation."""
    if was == fps:
        return found
    frames = len(found.expression)
    times = np.arange(int((frames - 1) * fps / was) + 1) * was / fps

    def moved(values: np.ndarray) -> np.ndarray:
        columns = [np.interp(times, np.arange(frames), column) for column in values.T]
        return np.column_stack(columns).astype(np.float32)

    pose = Pose(moved(found.pose.angles), moved(found.pose.translation))
    rmse = moved(found.rmse[:, None])[:, 0]
    return replace(found, expression=moved(found.expression), pose=pose, rmse=rmse, fps=fps)


def _check(found: Coefficients, path: Path) -> None:
    """Raises InputError: values that are no numbers, or parts that differ in their number of frames or have an
    impossible width."""
    parts = {
        "identity": found.identity,
        "expression": found.expression,
        "angles": found.pose.angles,
        "translation": found.pose.translation,
        "fit_rmse_px": found.rmse,
    }
    for name, values in parts.items():
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} has values that are not finite numbers; fit the video anew")
        if name != "identity" and len(values) != len(found.expression):
            raise InputError(f"{path}: {name} has {len(values)} frames, but expression {len(found.expression)}")
        if name in ("angles", "translation") and values.shape[1:] != (3,):
            raise InputError(f"{path}: {name} is {values.shape}, expected (frames, 3)")
    if found.fps is not None and not found.fps > 0:
        raise InputError(f"{path}: fps is {found.fps}, expected a number above 0")


def _write_mat(c: Coefficients, path: Path) -> None:
    frames, dims = c.expression.shape
    if dims > 64 or len(c.identity) > 80:
        raise InputError(f"{path}: the .mat layout holds 64 expression and 80 identity numbers; write .parquet instead")
    coeff = np.zeros((frames, WIDTH), np.float32)
    coeff[:, : len(c.identity)] = c.identity
    coeff[:, 80 : 80 + dims] = c.expression
    coeff[:, ANGLES], coeff[:, TRANSLATION], transform = to_published(c.pose, c.size)
    content = {
        "coeff": coeff,
        "transform_params": transform,
        "angles": c.pose.angles.astype(np.float32),
        "translation": c.pose.translation.astype(np.float32),
        "fit_rmse_px": c.rmse.astype(np.float32)[:, None],
        "face_model": c.face_model,
        "dimensions": np.int32([[len(c.identity), dims]]),
        **({"fps": np.float64([[c.fps]])} if c.fps else {}),
    }
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=True)
    header = b"MATLAB 5.0 MAT-file, face model coefficients".ljust(116)  # scipy would write the time of day here
    path.write_bytes(header + file.getvalue()[116:])


def _read_mat(path: Path) -> Coefficients:
    content = scipy.io.loadmat(path)
    coeff = np.asarray(content["coeff"], np.float32)
    if coeff.ndim != 2 or coeff.shape[1] != WIDTH or not len(coeff):
        raise InputError(f"{path}: coeff is {coeff.shape}, expected (frames, {WIDTH})")
    if not np.isfinite(coeff).all():
        raise InputError(f"{path}: coeff has values that are not finite")
    params = np.asarray(content["transform_params"], np.float32)
    if params.shape != (len(coeff), 5) or not np.isfinite(params).all() or (params[:, 2] <= 0).any():
        raise InputError(f"{path}: transform_params must be ({len(coeff)}, 5), finite, with positive scales")
    ours = "face_model" in content
    identity_dim, dims = content["dimensions"].ravel().tolist() if ours else (80, 64)
    if not (0 < identity_dim <= 80 and 0 < dims <= 64):
        raise InputError(f"{path}: dimensions are {identity_dim} and {dims}, expected at most 80 and 64")
    if ours:
        pose = Pose(*(np.asarray(content[name], np.float32) for name in ("angles", "translation")))
    else:
        pose = from_published(coeff[:, ANGLES], coeff[:, TRANSLATION], params)
    return Coefficients(
        identity=coeff[:, :identity_dim].mean(0),
        expression=coeff[:, 80 : 80 + dims],
        pose=pose,
        rmse=np.asarray(content["fit_rmse_px"], np.float32).ravel() if ours else np.zeros(len(coeff), np.float32),
        size=(int(params[0, 0]), int(params[0, 1])),
        face_model=str(content["face_model"].item()) if ours else None,
        fps=float(content["fps"].item()) if "fps" in content else None,
    )


def _write_parquet(c: Coefficients, path: Path) -> None:
    frames = len(c.expression)
    columns = {
        "frame": pa.array(range(frames), pa.int64()),
        "identity": _lists(np.tile(c.identity, (frames, 1))),
        "expression": _lists(c.expression),
        "angles": _lists(c.pose.angles),
        "translation": _lists(c.pose.translation),
        "crop": _lists(np.tile(CROP, (frames, 1))),
        "fit_rmse_px": pa.array(c.rmse.astype(np.float32)),
    }
    about = {"face_model": c.face_model, "width": str(c.size[0]), "height": str(c.size[1])}
    about |= {"fps": str(c.fps)} if c.fps else {}
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path, compression="zstd")


def _read_parquet(path: Path) -> Coefficients:
    table = pq.read_table(path)
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    rows = {name: np.stack(table[name].to_numpy()) for name in ("identity", "expression", "angles", "translation")}
    return Coefficients(
        identity=rows["identity"][0],
        expression=rows["expression"],
        pose=Pose(rows["angles"], rows["translation"]),
        rmse=table["fit_rmse_px"].to_numpy(),
        size=(int(about["width"]), int(about["height"])),
        face_model=about["face_model"],
        fps=float(about["fps"]) if "fps" in about else None,
    )


def _lists(rows: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(rows, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
