"""What is behind the page: files that were given, and the heads that are made of them, one after another."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.evaluation.from_files import Request, talking_head
from stages.evaluation.inputs import InputError
from stages.evaluation.workshop import Workshop

LONGEST_NAME = 80  # bytes
_log = logging.getLogger(__name__)


class Order(BaseModel):
    """What the page asks for; files are named by the ids that uploading them gave."""

    model_config = ConfigDict(extra="forbid")
    portrait: str
    voice: str
    style: str = "auto"  # auto, one of the corpus' styles, or a file's id
    intensity: Annotated[float, Field(ge=0, le=5)] = 1.0
    pose: str = "still"  # still, mild, or a file's id
    frame: Literal["face", "picture"] = "face"
    renderer: Literal["mesh_warp", "pirenderer"] = "mesh_warp"
    blinks: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0  # as torch takes them


class Closed(Exception):
    """Nobody waits for the head any more."""


@dataclass
class Head:
    """A head in the making: what is being done, the share of it that is done, and what came of it."""

    what: str = "waiting"
    share: float = 0.0
    done: bool = False
    error: str = ""
    remarks: list[str] = field(default_factory=list)


class Studio:
    """Files that were given, and heads that are made of them, one after another.

    Args:
        workshop: the networks.
        folder: where files and videos are kept.
    """

    def __init__(self, workshop: Workshop, folder: Path) -> None:
        self.workshop, self.folder = workshop, folder
        self.files: dict[str, Path] = {}
        self.heads: dict[str, Head] = {}
        self.worker = ThreadPoolExecutor(1)
        self.closed = threading.Event()

    def close(self) -> None:
        """Make no more heads; the one in the making is given up, and writes nothing after this."""
        self.closed.set()
        self.worker.shutdown(cancel_futures=True)

    def styles(self) -> list[str]:
        """EMOTION/LEVEL of the corpus' clips, strongest last, or EMOTION where levels are unknown; none where there is
        no corpus."""
        try:
            corpus = self.workshop.corpus().dropna(subset="emotion")
        except FileNotFoundError:
            return []
        found = corpus[["emotion", "level"]].itertuples(index=False, name=None)
        return sorted({emotion if level is None else f"{emotion}/{level}" for emotion, level in found})

    def place(self, name: str) -> tuple[str, Path]:
        """A new id, and where a file of that name is kept: in a folder of its own, whatever the name says."""
        key = secrets.token_hex(8)
        end = re.sub(r"[^\w. -]", "_", name).encode(errors="ignore")[-LONGEST_NAME:].decode(errors="ignore")
        self.files[key] = self.folder / key / (end.lstrip(". ") or "file")
        self.files[key].parent.mkdir()
        return key, self.files[key]

    def drop(self, key: str) -> None:
        """Forget a file."""
        shutil.rmtree(self.files.pop(key).parent)

    def make(self, order: Order) -> str:
        """Begin a head; its id.

        Raises:
            KeyError: the order names a file that was not given, or a style that is not there.
        """
        styles = {"auto", *self.styles()}
        key = secrets.token_hex(8)
        request = Request(
            portrait=self.files[order.portrait],
            voice=self.files[order.voice],
            out=self.video(key),
            style=order.style if order.style in styles else str(self.files[order.style]),
            pose=order.pose if order.pose in ("still", "mild") else str(self.files[order.pose]),
            **order.model_dump(include={"intensity", "frame", "renderer", "blinks", "seed"}),
        )
        self.heads[key] = Head()
        self.worker.submit(self._make, self.heads[key], request)
        return key

    def video(self, key: str) -> Path:
        return self.folder / f"{key}.mp4"

    def _make(self, head: Head, request: Request) -> None:
        def progress(what: str, share: float) -> None:
            if self.closed.is_set():
                raise Closed
            head.what, head.share = what, share

        try:
            head.remarks = [self._plain(text) for text in talking_head(request, self.workshop, progress).remarks]
        except InputError as error:
            head.error = self._plain(str(error))
        except Closed:
            head.error = "the page was closed"
        except Exception:
            _log.exception("a head could not be made")
            head.error = "something went wrong; the terminal says what"
        head.done = True

    def _plain(self, text: str) -> str:
        """Without the folders that files are kept in."""
        return re.sub(re.escape(str(self.folder)) + r"/(\w+/)?", "", text)
