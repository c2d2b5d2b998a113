"""The demo corpus: generated talking heads in MEAD's naming, of any size, from one public-domain photograph.

Known for every clip: who speaks, in which emotion and level, which phonemes when, and every landmark. It lets
the whole reproduction run with no data set; the truth beside the videos is for tests, no stage reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from stages.corpus.demo.emotions import LEVELS, Clip, styles
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.render import Actor, Studio, make_clip
from stages.shards import end_with_parent

_state: dict = {}


def _start_worker(studio: Studio) -> None:
    end_with_parent()
    _state["studio"], _state["actor"] = studio, (None, None)


def _film(clips: list[Clip], out_dir: Path) -> list[dict]:
    studio = _state["studio"]
    if _state["actor"][0] != clips[0].speaker:
        _state["actor"] = clips[0].speaker, Actor(studio, clips[0].speaker)
    return [make_clip(studio, _state["actor"][1], clip, out_dir) for clip in clips]


def write_corpus(
    out_dir: Path,
    *,
    speakers: int,
    levels: Sequence[int] = tuple(LEVELS),
    clips_per_style: int,
    frequent_speakers: int = 0,
    frequent_clips_per_style: int = 1,
    foretold: float,
    seconds: float,
    size: int,
    seed: int,
    workers: int,
    on_done: Callable[[dict], None] | None = None,
) -> list[dict]:
    """Write the corpus under `out_dir`: videos/<clip>.mp4 and truth/<clip>.npz.

    speakers: alternately men (M001, ...) and women (W001, ...); levels: at which each emotion but neutral is shown;
    clips_per_style: clips of each style of a speaker; frequent_speakers: how many, from the first, have
    frequent_clips_per_style instead; foretold: share of a speaker's temper that follows from the face, 0 to 1;
    seconds: about how long a clip is; size: side of the square frames in px, even; workers: processes;
    on_done: called with each clip's row as it is finished, in no fixed order.

    Returns one row per clip: path (within `out_dir`, by which rows are sorted), speaker, emotion, level, frames.
    The same arguments give the same bytes, however many workers there are.
    """
    out_dir = Path(out_dir)
    for folder in ("videos", "truth"):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    studio = Studio(photograph(), size, seconds, foretold, seed)
    jobs = [
        [
            Clip(speaker, emotion, level, number + 1)
            for number in range(frequent_clips_per_style if speaker < frequent_speakers else clips_per_style)
        ]
        for speaker in range(speakers)
        for emotion, level in styles(levels)
    ]
    rows: list[dict] = []
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(studio,))
    with pool:
        for future in as_completed([pool.submit(_film, job, out_dir) for job in jobs]):
            for row in future.result():
                rows.append(row)
                if on_done is not None:
                    on_done(row)
    return sorted(rows, key=lambda row: row["path"])
