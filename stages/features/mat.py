"""Exchange with other DreamTalk and PIRenderer tools: Deep3DFaceRecon's coefficients in a MATLAB file.

257 numbers a frame: identity 0:80, expression 80:144, texture 144:224, angles 224:227 (radians), illumination 227:254,
translation 254:257; and the frame's crop, transform_params: width, height, scale, x, y (sicxu/Deep3DFaceRecon_pytorch).
The layout is theirs, the bases are the face model's own: a file of ours means the same face only to our face model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from stages.files import atomic_path

WIDTH = 257
IDENTITY, EXPRESSION = slice(0, 80), slice(80, 144)
ANGLES, TRANSLATION = slice(224, 227), slice(254, 257)
CROP = slice(2, 5)


def write_mat(path: Path, motion: dict[str, np.ndarray], size: tuple[int, int]) -> None:
    """Write what :func:`stages.features.fit.fit_landmarks` returns.

    Args:
        path: file to write; its bytes depend on the content alone.
        motion: identity (I,), expression (n, D), angles (n, 3), translation (n, 3) and crop (n, 3); I ≤ 80, D ≤ 64,
            filled with zeros.
        size: width and height of the picture in px.

    Raises:
        ValueError: the face model has more dimensions than the layout.
    """
    identity, expression = motion["identity"], motion["expression"]
    if identity.shape[-1] > 80 or expression.shape[1] > 64:
        raise ValueError(
            f"{path}: {identity.shape[-1]} identity and {expression.shape[1]} expression coefficients do not fit the "
            "layout's 80 and 64"
        )
    coeff = np.zeros((len(expression), WIDTH), np.float32)
    coeff[:, : identity.shape[-1]] = identity
    coeff[:, EXPRESSION.start : EXPRESSION.start + expression.shape[1]] = expression
    coeff[:, ANGLES], coeff[:, TRANSLATION] = motion["angles"], motion["translation"]
    transform = np.concatenate([np.tile(np.float32(size), (len(coeff), 1)), motion["crop"].astype(np.float32)], 1)
    with atomic_path(path) as tmp:
        scipy.io.savemat(tmp, {"coeff": coeff, "transform_params": transform}, do_compression=True)
        _drop_date(tmp)


def read_mat(path: Path, expression_dim: int = 64) -> dict[str, np.ndarray]:
    """Read a file of ours or of Deep3DFaceRecon.

    Args:
        path: the file.
        expression_dim: D, first coefficients taken.

    Returns:
        identity (n, 80), expression (n, D), angles (n, 3), translation (n, 3), and crop (n, 3), (1, 0, 0) where the
        file has none; float32. Published identities differ from frame to frame.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no MATLAB file, or has not 257 finite coefficients a frame.
    """
    try:
        content = scipy.io.loadmat(path, variable_names=["coeff", "transform_params"])
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises many kinds for damaged files
        raise ValueError(f"{path} is not a MATLAB file that scipy reads: {error}") from error
    coeff = np.asarray(content.get("coeff", np.zeros(0)))
    if coeff.ndim != 2 or coeff.shape[1] != WIDTH or not len(coeff) or coeff.dtype.kind != "f":
        raise ValueError(f"{path}: coeff is {coeff.dtype} {coeff.shape}, expected floats of shape (n, {WIDTH}), n > 0")
    if not np.isfinite(coeff).all():
        raise ValueError(f"{path}: coeff has values that are not finite")
    coeff = coeff.astype(np.float32)
    transform = content.get("transform_params")
    crop = np.tile(np.float32([1, 0, 0]), (len(coeff), 1)) if transform is None else transform[:, CROP]
    if crop.shape != (len(coeff), 3):
        raise ValueError(f"{path}: transform_params is {transform.shape}, expected ({len(coeff)}, 5)")
    return {
        "identity": coeff[:, IDENTITY],
        "expression": coeff[:, EXPRESSION][:, :expression_dim],
        "angles": coeff[:, ANGLES],
        "translation": coeff[:, TRANSLATION],
        "crop": crop.astype(np.float32),
    }


def _drop_date(path: Path) -> None:
    """Overwrite the header's free text, 116 bytes, where scipy puts the time."""
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file".ljust(116))
