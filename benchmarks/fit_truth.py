"""How well the fit recovers what is known of the demo corpus: mouth, blinks, expression, head angles, identity.

python -m benchmarks.fit_truth [--every N]     after `dvc repro fit` with ingest.source: demo; every Nth clip

mouth: correlation of the fitted mesh's lip opening in the picture with the true one, and of the landmarks' own.
blinks: a blink is found where the eyelids come nearer than BLINK of what they are in the second around; F1 of those
that overlap true ones. expression: the measures of MEASURES taken from the fitted mesh, and the rig's parameters from
our coefficients by a linear regression that was learned on the clips of half of the speakers and is scored on the
others'; both about each clip's mean, the root mean square error as a share of the range, median over measures or
parameters. angles: correlation with the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.fit_agreement import correlations
from dreamtalk_models.face_model import FaceModel
from stages import params, tables
from stages.columns import Columns
from stages.corpus.demo.rig import PARAMETERS
from stages.features.fit import LANDMARKS, MODEL
from stages.features.fit_quality import identity_ratio
from stages.features.landmark_fit import fit_landmarks, mesh_px

TRUTH, CLIPS = Path("data/raw/truth"), Path("data/clips/clips.parquet")
LIDS = ((159, 145), (158, 153), (386, 374), (385, 380))
BLINK, AROUND = 0.75, 25
MEASURES = {  # pairs of landmarks whose distance is taken
    "mouth opening": (13, 14),
    "mouth width": (61, 291),
    "right lids": (159, 145),
    "left lids": (386, 374),
    "right brow": (105, 159),
    "left brow": (334, 386),
    "lip to chin": (17, 152),
    "nose to lip": (2, 0),
}


def distance(points: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm((points[:, a] - points[:, b])[:, :2], axis=-1)


def eye_distance(points: np.ndarray) -> float:
    return float(np.mean(distance(points, 33, 263)))


def blinks(points: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) frames, end exclusive, of blinks in a mesh track (n, 468, 2 or more)."""
    lids = np.mean([distance(points, *pair) for pair in LIDS], axis=0)
    usual = np.array([np.median(lids[max(0, i - AROUND) : i + AROUND + 1]) for i in range(len(lids))])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lids < BLINK * usual, [0]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def matches(found: list[tuple[int, int]], true: list[tuple[int, int]]) -> int:
    """How many of `found` overlap a true one that no other has."""
    free, hits = list(true), 0
    for start, end in found:
        hit = next((span for span in free if start < span[1] and span[0] < end), None)
        if hit:
            free.remove(hit)
            hits += 1
    return hits


def share_of_range(error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(error).mean(0)) / np.ptp(truth, axis=0).clip(1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    torch.set_num_threads(1)
    step, settings, model = parser.parse_args().every, params.load().fit, FaceModel.load(MODEL)
    landmarks, speakers = Columns(LANDMARKS), tables.read(CLIPS).set_index("clip_id")["speaker"]
    rows, hits, found_count, true_count = [], 0, 0, 0
    for clip_id in sorted(landmarks)[::step]:
        truth, points = np.load(TRUTH / f"{clip_id}.npz"), landmarks[clip_id]["landmarks"].reshape(-1, 478, 3)
        count = min(len(points), len(truth["mouth_gap_px"]))
        motion = fit_landmarks(model, points[:count], settings)
        mesh, real = mesh_px(model, motion), truth["landmarks_px"][:count]
        gap = truth["mouth_gap_px"][:count]
        found, true = blinks(mesh), [tuple(span) for span in truth["blinks"] if span[1] <= count]
        hits, found_count, true_count = hits + matches(found, true), found_count + len(found), true_count + len(true)
        measured = [
            np.stack([distance(p, *pair) for pair in MEASURES.values()], 1) / eye_distance(p) for p in (mesh, real)
        ]
        rows.append(
            {
                "speaker": speakers[clip_id],
                "mouth": np.corrcoef(distance(mesh, 13, 14), gap)[0, 1],
                "landmark_mouth": np.corrcoef(distance(points[:count], 13, 14), gap)[0, 1],
                "angles": correlations(motion["angles"], truth["angles_rad"][:count]),
                "identity": motion["identity"],
                "expression": motion["expression"] - motion["expression"].mean(0),
                "rig": truth["parameters"][:count] - truth["parameters"][:count].mean(0),
                "measured": measured[0] - measured[0].mean(0),
                "real": measured[1] - measured[1].mean(0),
            }
        )
    print(f"{len(rows)} clips, median over clips:")
    for name in ("mouth", "landmark_mouth"):
        values = [row[name] for row in rows]
        tenth = np.percentile(values, 10)
        print(f"  {name.replace('_', ' ')} correlation {np.median(values):.3f} (tenth percentile {tenth:.3f})")
    print("  pitch, yaw, roll correlation", np.median([row["angles"] for row in rows], axis=0).round(3))
    print(f"blinks: {true_count} true, {found_count} found, F1 {2 * hits / (found_count + true_count):.3f}")
    report_expression(rows)
    ratio = identity_ratio(np.stack([row["identity"] for row in rows]), np.array([row["speaker"] for row in rows]))
    print(f"identity: distance within a speaker / across {ratio:.2f}")


def report_expression(rows: list[dict]) -> None:
    names = sorted({row["speaker"] for row in rows})
    pools = [[row for row in rows if (names.index(row["speaker"]) % 2 == 0) is even] for even in (True, False)]
    (x, y), (x_unseen, y_unseen) = (
        (np.concatenate([row["expression"] for row in pool]), np.concatenate([row["rig"] for row in pool]))
        for pool in pools
    )
    gram = x.T @ x
    error = x_unseen @ np.linalg.solve(gram + 1e-4 * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ y) - y_unseen
    shares = share_of_range(error, y_unseen)
    print(f"expression: rig parameters, error as a share of the range: median {np.median(shares):.3f}")
    print("  " + ", ".join(f"{name} {share:.3f}" for name, share in zip(PARAMETERS, shares, strict=False)))
    real = np.concatenate([row["real"] for row in rows])
    shares = share_of_range(np.concatenate([row["measured"] for row in rows]) - real, real)
    print(f"expression: measures of the mesh, error as a share of the range: median {np.median(shares):.3f}")
    print("  " + ", ".join(f"{name} {share:.3f}" for name, share in zip(MEASURES, shares, strict=True)))


if __name__ == "__main__":
    main()
