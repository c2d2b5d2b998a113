"""The files that participants sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path


def read_key(path: Path, name: str, whole: Callable[[dict], bool]) -> dict:
    """The key of a page: which video is which.

    Args:
        name: of such a key and of the command that writes it, for the error.
        whole: does it have what only this kind of page has?

    Raises:
        ValueError: it is no such key.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        good = "page" in about and whole(about)
        good &= all({"method", "clip_id"} <= video.keys() for video in about["videos"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise ValueError(f"{path.name} is not the key, {name} wrote")
    return about


def collect(
    files: Sequence[Path], read: Callable[[Path], tuple[str, list[dict]]], what: str
) -> tuple[dict[str, tuple[Path, list[dict]]], list[str]]:
    """Each participant's file and its rows, and why files were left out.

    Of several files with one number the one with the most rows counts: who stops, saves and goes on later saves the
    earlier answers again, and file names do not tell which save was the last.

    Args:
        read: a file's participant and rows; its ValueError, KeyError or TypeError leaves the file out.
        what: the rows are.

    Raises:
        ValueError: no file can be used.
    """
    found: dict[str, tuple[Path, list[dict]]] = {}
    refused = []
    for path in files:
        try:
            participant, rows = read(path)
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
            refused.append(f"{path.name}: is no file of {what} that the page saved")
            continue
        except ValueError as error:
            refused.append(f"{path.name}: {error}")
            continue
        if participant in found:
            counts, other = sorted((found[participant], (path, rows)), key=lambda one: len(one[1]), reverse=True)
            often = "more" if len(counts[1]) > len(other[1]) else "as many"
            refused.append(f"{other[0].name}: participant {participant} has {often} answers in {counts[0].name}")
            found[participant] = counts
        else:
            found[participant] = path, rows
    if not found:
        raise ValueError(f"no file of {what} can be used: " + ("; ".join(refused) or "none was given"))
    return found, refused
