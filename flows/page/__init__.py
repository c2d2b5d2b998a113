"""A page on this machine to make talking heads with: drop a portrait and a voice, choose a style, watch.

It serves 127.0.0.1 only, asks no other host, and keeps what it is given in a temporary folder that goes when it ends.
Heads are made one after another, by :func:`stages.evaluation.from_files.talking_head`.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from stages.evaluation.from_files import Request, talking_head
from stages.evaluation.inputs import InputError
from stages.evaluation.workshop import Workshop

HOST, PORT = "127.0.0.1", 7860
STATIC = Path(__file__).parent
LARGEST_FILE = 500_000_000  # bytes
LONGEST_NAME = 80  # bytes
HEADERS = {  # nothing from elsewhere, whatever a page is made to say
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
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
        """EMOTION/LEVEL of the corpus' clips, strongest last; none where there is no corpus."""
        try:
            corpus = self.workshop.corpus().dropna()
        except FileNotFoundError:
            return []
        return sorted({f"{row.emotion}/{row.level}" for row in corpus.itertuples()})

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


def application(studio: Studio) -> Starlette:
    """The page's web application."""

    async def upload(request: HttpRequest) -> Response:
        key, path = studio.place(request.query_params.get("name", ""))
        try:
            await _receive(request, path)
        except BaseException:  # too large, or broken off
            studio.drop(key)
            raise
        return JSONResponse({"id": key})

    async def _receive(request: HttpRequest, path: Path) -> None:
        size = 0
        with path.open("wb") as file:
            async for piece in request.stream():
                size += len(piece)
                if size > LARGEST_FILE:
                    raise HTTPException(413, f"files of {LARGEST_FILE // 10**6} MB at most")
                file.write(piece)

    async def order(request: HttpRequest) -> Response:
        if request.headers.get("content-type") != "application/json":  # other pages cannot send that unasked
            raise HTTPException(415, "JSON, please")
        try:
            return JSONResponse({"id": studio.make(Order.model_validate_json(await request.body()))})
        except ValidationError as error:
            raise HTTPException(422, f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
        except KeyError as error:
            raise HTTPException(422, f"no such file or style: {error}") from error

    async def head(request: HttpRequest) -> Response:
        return JSONResponse(asdict(_found(request)))

    async def video(request: HttpRequest) -> Response:
        state = _found(request)
        if not state.done or state.error:
            raise HTTPException(404)
        return FileResponse(studio.video(request.path_params["key"]), media_type="video/mp4")

    async def choices(request: HttpRequest) -> Response:
        return JSONResponse({"styles": studio.styles()})

    def _found(request: HttpRequest) -> Head:
        if (found := studio.heads.get(request.path_params["key"])) is None:
            raise HTTPException(404)
        return found

    async def wrong(request: HttpRequest, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code)

    async def index(request: HttpRequest) -> Response:
        return FileResponse(STATIC / "index.html", headers=HEADERS)

    routes = [
        Route("/", index),
        Route("/choices", choices),
        Route("/files", upload, methods=["PUT"]),
        Route("/heads", order, methods=["POST"]),
        Route("/heads/{key}", head),
        Route("/heads/{key}/video.mp4", video),
        Route("/page.js", _static("page.js")),
        Route("/page.css", _static("page.css")),
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=routes, middleware=[guard], exception_handlers={HTTPException: wrong})


def _static(name: str):
    async def file(request: HttpRequest) -> Response:
        return FileResponse(STATIC / name)

    return file


def serve(workshop: Workshop, port: int = PORT) -> None:
    """Serve the page until Ctrl-C, or SIGTERM, which ends the process; either way nothing stays in the folder.

    Raises:
        InputError: a network that it needs has not been trained, or the port is taken.
    """
    for needed in ("face_model", "denoiser", "style_predictor"):
        getattr(workshop, needed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by default it leaves the folder behind
    with tempfile.TemporaryDirectory(prefix="talking-heads-") as folder, socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen()  # who follows the address at once waits, instead of being refused
        except OSError as error:
            raise InputError(f"--port {port} of {HOST} cannot be had: {error.strerror}; give another") from error
        with suppress(KeyboardInterrupt), closing(Studio(workshop, Path(folder))) as studio:
            print(f"http://{HOST}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
            uvicorn.Server(uvicorn.Config(application(studio), log_level="warning")).run([listening])
