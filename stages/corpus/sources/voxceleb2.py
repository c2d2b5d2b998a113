"""VoxCeleb2 (Chung et al., Interspeech 2018) from its track files, with the videos downloaded anew in good resolution.

``txt/id00012/21Uxsk56VDQ/00001.txt`` is one utterance: some lines of facts, then a table FRAME X Y W H with the face's
box in shares of the picture, a row a frame at 25 frames a second of the video 21Uxsk56VDQ.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.corpus.download.urls import YOUTUBE_ID
from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.local import list_files, text
from stages.corpus.sources.remote import Video, get_all
from stages.params import Params
from stages.progress import track

FPS = 25.0
PATH = re.compile(
    rf".*/(?P<speaker>id\d{{5}})/(?P<video>{YOUTUBE_ID.pattern})/(?P<utterance>\w+)\.txt", re.ASCII | re.DOTALL
)
HEADER = ["FRAME", "X", "Y", "W", "H"]
SLACK = 0.05  # of the picture: faces at its edge have boxes that reach out a little


class TrackError(ValueError):
    """A track file cannot be used; the text says why."""


class Track(NamedTuple):
    """Where a face is.

    Attributes:
        start_s, end_s: seconds in the video.
        face: median x0, y0, x1, y1, in shares of the picture.
    """

    start_s: float
    end_s: float
    face: list[float]


def items(params: Params, raw_dir: Path) -> Found:
    """An item for every utterance whose track file lies below ingest.folder; a download for every YouTube id.

    Raises:
        SourceError: there are no track files, or the download folder cannot be used.
    """
    folder = Path(params.ingest.folder)
    files = list_files(folder, "put VoxCeleb2's track files (txt/id00012/...) there")
    matches = {path: match for path in files if (match := PATH.fullmatch(path.absolute().as_posix()))}
    if not matches:
        raise SourceError(f"{folder} has no track files like txt/id00012/21Uxsk56VDQ/00001.txt")
    found = Found()
    tracks = {path: _try_read(path) for path in track(list(matches), "ingest", unit="file")}
    for path, read in tracks.items():
        if isinstance(read, TrackError):
            found.defect(text(path.relative_to(folder)), str(read), "the utterance is not used", item=path.stem)
    good = {path: matches[path] for path, read in tracks.items() if isinstance(read, Track)}
    ids = sorted({match["video"] for match in good.values()})
    print(f"ingest: VoxCeleb2 track files name {len(good)} utterances in {len(ids)} videos", flush=True)
    videos = [Video(video, f"https://www.youtube.com/watch?v={video}") for video in ids]
    states = get_all(found, folder, videos, files, params.ingest.download)
    for path, match in good.items():
        video = match["video"]
        found.items.append(
            {
                "item_id": f"{match['speaker']}_{video}_{match['utterance']}",
                "corpus": "voxceleb2",
                "speaker": match["speaker"],
                "origin": f"https://www.youtube.com/watch?v={video}",
                **tracks[path]._asdict(),
                **states[video],
            }
        )
    return found


def read_track(path: Path) -> Track:
    """A track file.

    Raises:
        TrackError: it has no table, or one that is not of frames and relative boxes.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    if HEADER not in lines:
        raise TrackError(f"has no line {' '.join(HEADER)}")
    rows = [line for line in lines[lines.index(HEADER) + 1 :] if line]
    if not rows:
        raise TrackError("has no frames")
    try:
        values = np.array([float(value) for row in rows for value in row])
    except ValueError as error:
        raise TrackError("has a row that is not five numbers") from error
    if any(len(row) != 5 for row in rows) or not np.isfinite(values).all():
        raise TrackError("has a row that is not five numbers")
    table = values.reshape(-1, 5)
    frames, boxes = table[:, 0], table[:, 1:]
    if frames[0] < 0 or (np.diff(frames) <= 0).any():
        raise TrackError("has frame numbers that do not rise")
    face = np.median(np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), axis=0)
    if (boxes[:, 2:] <= 0).any() or face.min() < -SLACK or face.max() > 1 + SLACK:
        raise TrackError("has boxes that are not shares of the picture (VoxCeleb1's are in pixels)")
    return Track(float(frames[0] / FPS), float((frames[-1] + 1) / FPS), np.clip(face, 0, 1).round(6).tolist())


def _try_read(path: Path) -> Track | TrackError:
    try:
        return read_track(path)
    except TrackError as error:
        return error
    except OSError as error:
        return TrackError(f"cannot be read: {error.strerror}")
