"""Learning and fitting on generated faces, whose motion is known: lips and blinks come through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.fit_agreement import agreement, lead_of
from benchmarks.fit_truth import blinks, distance, matches
from stages import columns, params, tables
from stages.corpus import decode
from stages.corpus.demo import write_corpus
from stages.corpus.faces import FaceMesh
from stages.corpus.gaps import bridged
from stages.features import face_model
from stages.features.fit_quality import quality
from stages.features.landmark_fit import fit_landmarks, mesh_px


def test_blinks_are_counted_once_each() -> None:
    assert matches([(3, 6), (20, 22)], [(2, 5), (30, 33)]) == 1
    assert matches([(3, 6), (4, 7)], [(2, 5)]) == 1
    track = np.zeros((60, 468, 2))
    for upper, lower in ((159, 145), (158, 153), (386, 374), (385, 380)):
        track[:, lower, 1] = 10
        track[30:34, upper, 1] = 6
    assert blinks(track) == [(30, 34)]


def test_agreement_is_that_of_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    ours = np.cumsum(rng.normal(size=(300, 8)), axis=0)
    r2, corr = agreement(ours, ours @ rng.normal(size=(8, 64)))
    assert (r2, corr) == (pytest.approx(1, abs=1e-3), pytest.approx(1, abs=1e-3))
    assert agreement(ours, rng.normal(size=(300, 64)))[0] < 0.1
    assert np.isnan(agreement(ours[:40], ours[:40])[0])


def test_the_lead_is_found_by_the_heads_turning() -> None:
    angles = np.cumsum(np.random.default_rng(0).normal(size=(100, 3)), axis=0)
    assert lead_of(angles, angles[2:]) == 2
    assert lead_of(angles, angles) == 0


@pytest.mark.slow
def test_lips_and_blinks_of_generated_faces_come_through(tmp_path: Path, root: Path) -> None:
    settings = params.load(root / "params.yaml")
    size = {"speakers": 3, "clips_per_style": 1, "seconds": 2.5, "size": 256}
    clips = write_corpus(tmp_path, **size, foretold=0.85, seed=1, workers=2)
    unseen, landmarks, split = max(row["speaker"] for row in clips), {}, []
    with FaceMesh() as mesh:
        for row in clips:
            name = Path(row["path"]).stem
            mesh.reset()
            landmarks[name] = bridged([mesh.landmarks(f) for f in decode.frames(tmp_path / row["path"], 25)])
            about = {key: row[key] for key in ("speaker", "emotion", "level")}
            split.append({"clip_id": name, **about, "split": "test" if row["speaker"] == unseen else "train"})
    rows = [{"clip_id": name, "landmarks": points.reshape(len(points), -1)} for name, points in landmarks.items()]
    columns.write_shard(tmp_path / "landmarks" / "shard-00000.arrow", rows)
    tables.write(tables.from_rows(split, tables.SPLIT), tables.SPLIT, tmp_path / "split.parquet")
    model, numbers = face_model.run(
        tmp_path / "landmarks", tmp_path / "split.parquet", tmp_path / "model", settings.face_model
    )
    assert numbers["explained/held_out/lips"] > 0.95
    mouths, hits, counted, kept = [], 0, 0, []
    for name, points in landmarks.items():
        truth = np.load(tmp_path / "truth" / f"{name}.npz")
        motion = fit_landmarks(model, points, settings.fit)
        mesh = mesh_px(model, motion)
        mouths.append(np.corrcoef(distance(mesh, 13, 14), truth["mouth_gap_px"][: len(mesh)])[0, 1])
        found, true = blinks(mesh), [tuple(span) for span in truth["blinks"] if span[1] <= len(mesh)]
        hits, counted = hits + matches(found, true), counted + len(found) + len(true)
        kept.append(quality(model, points, motion, settings.fit)["mouth_velocity"])
    assert np.median(mouths) > 0.95
    assert 2 * hits / counted > 0.9
    assert np.median(kept) > 0.85
    assert pd.Series(kept).between(0.6, 1.1).all()
