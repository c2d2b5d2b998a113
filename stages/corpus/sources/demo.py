"""The generated corpus: speakers, emotions and levels are known because we made them."""

from __future__ import annotations

from pathlib import Path

from stages.corpus.demo import write_corpus
from stages.corpus.demo.emotions import styles
from stages.corpus.sources import Found
from stages.files import quoted, sha256
from stages.params import Params
from stages.shards import workers

REPORT_EVERY = 20  # videos


def items(params: Params, raw_dir: Path) -> Found:
    """Write the corpus into `raw_dir` (videos/, and truth/ beside them)."""
    demo = params.ingest.demo
    frequent = min(demo.frequent_speakers, demo.speakers)
    each = (demo.speakers - frequent) * demo.clips_per_style + frequent * demo.frequent_clips_per_style
    total = len(styles(demo.levels)) * each
    done = 0

    def count(_: dict) -> None:
        nonlocal done
        done += 1
        if done % REPORT_EVERY == 0:
            print(f"ingest: {done}/{total} videos made", flush=True)

    made = write_corpus(raw_dir, **demo.model_dump(), seed=params.seed, workers=workers(), on_done=count)
    return Found([_row(raw_dir, clip) for clip in made])


def _row(raw_dir: Path, clip: dict) -> dict:
    path = raw_dir / clip["path"]
    return {
        "item_id": path.stem,
        "corpus": "demo",
        "speaker": clip["speaker"],
        "emotion": clip["emotion"],
        "level": clip["level"],
        "path": quoted(path),
        "origin": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "status": "ok",
        "reason": None,
    }
