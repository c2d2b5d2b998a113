"""HDTF (Zhang et al., CVPR 2021): clips of videos that lists name, in a given window or a detected one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages.corpus.download.urls import safe_name
from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.hdtf_lists import LISTS, Listed, read_lists
from stages.corpus.sources.local import first_of_each, list_files
from stages.corpus.sources.remote import Video, get_all
from stages.params import Params


def items(params: Params, raw_dir: Path) -> Found:
    """The clips of the lists below ingest.folder; their videos are taken from that folder, or downloaded.

    Every defect of the lists is in Found.defects with its line. A clip without a usable fixed window is kept: its
    window is found by detection.

    Raises:
        SourceError: a list file is missing, or the download folder cannot be used.
    """
    folder, settings = Path(params.ingest.folder), params.ingest
    files = list_files(folder, "put HDTF's lists (RD_video_url.txt, ...) there")
    found = Found()
    fixed = settings.hdtf.window == "fixed"
    listed = [
        read_lists(found, folder, _lists_of(subset, folder, files), subset, fixed=fixed)
        for subset in settings.hdtf.subsets
    ]
    videos, repeats = first_of_each((name, subset) for subset in listed for name in subset.spans)
    for name, subset in repeats:
        found.defect(f"{subset.subset}_annotion_time.txt", "is a video of another subset too", "not used", item=name)
    urls, clips = sum(len(subset.urls) for subset in listed), sum(len(subset.clips()) for subset in listed)
    print(f"ingest: HDTF lists {urls} addresses and {clips} clips", flush=True)
    named = [
        Video(name, subset.urls.get(name), (f"{subset.subset}_{name}",))
        for name, subset in videos.items()
        if any(subset.spans[name])
    ]
    states = get_all(found, folder, named, files, settings.download)
    for video in named:
        subset = videos[video.name]
        found.items += _clips(subset, video.name, states[video.name], fixed=fixed)
    return found


def _clips(listed: Listed, name: str, state: dict, *, fixed: bool) -> Iterator[dict]:
    for index, span in enumerate(listed.spans[name]):
        clip = f"{name}_{index}"
        window = listed.windows.get(clip) if fixed else None
        if span:
            yield {
                "item_id": safe_name(clip),
                "corpus": "hdtf",
                "speaker": speaker(listed.subset, name),
                "origin": listed.urls.get(name, name),
                "start_s": span[0],
                "end_s": span[1],
                "window": window,
                "zoom": None if window else listed.ratios.get(clip),
                **state,
            }


def speaker(subset: str, name: str) -> str:
    """Who speaks: in the weekly addresses the name without its number; Radio12 is the twelfth of unnamed people."""
    return name if subset == "RD" else name.rstrip("0123456789") or name


def _lists_of(subset: str, folder: Path, files: list[Path]) -> dict[str, Path]:
    by_name = {path.name: path for path in reversed(files)}
    missing = [f"{subset}_{kind}.txt" for kind in LISTS if f"{subset}_{kind}.txt" not in by_name]
    if missing:
        raise SourceError(
            f"{folder} lacks {', '.join(missing)}: HDTF's lists belong there (github.com/MRzzm/HDTF, HDTF_dataset), "
            "or take the subset out of ingest.hdtf.subsets"
        )
    return {kind: by_name[f"{subset}_{kind}.txt"] for kind in LISTS}
