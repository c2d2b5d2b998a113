"""A page on this machine to make talking heads with: drop a portrait and a voice, choose a style, watch.

It serves 127.0.0.1 only, asks no other host, and keeps what it is given in a temporary folder that goes when it ends.
Heads are made one after another, by :func:`stages.evaluation.from_files.talking_head`.
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from flows.page.studio import Head, Order, Studio
from stages.evaluation.inputs import InputError
from stages.evaluation.workshop import Workshop

HOST, PORT = "127.0.0.1", 7860
STATIC = Path(__file__).parent
LARGEST_FILE = 500_000_000  # bytes
HEADERS = {  # nothing from elsewhere, whatever a page is made to say
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(studio: Studio) -> Starlette:
    """The page's web application."""

    async def upload(request: Request) -> Response:
        key, path = studio.place(request.query_params.get("name", ""))
        try:
            await _receive(request, path)
        except BaseException:  # too large, or broken off
            studio.drop(key)
            raise
        return JSONResponse({"id": key})

    async def _receive(request: Request, path: Path) -> None:
        size = 0
        with path.open("wb") as file:
            async for piece in request.stream():
                size += len(piece)
                if size > LARGEST_FILE:
                    raise HTTPException(413, f"files of {LARGEST_FILE // 10**6} MB at most")
                file.write(piece)

    async def order(request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":  # other pages cannot send that unasked
            raise HTTPException(415, "JSON, please")
        try:
            return JSONResponse({"id": studio.make(Order.model_validate_json(await request.body()))})
        except ValidationError as error:
            raise HTTPException(422, f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
        except KeyError as error:
            raise HTTPException(422, f"no such file or style: {error}") from error

    async def head(request: Request) -> Response:
        return JSONResponse(asdict(_found(request)))

    async def video(request: Request) -> Response:
        state = _found(request)
        if not state.done or state.error:
            raise HTTPException(404)
        return FileResponse(studio.video(request.path_params["key"]), media_type="video/mp4")

    async def choices(request: Request) -> Response:
        return JSONResponse({"styles": studio.styles()})

    def _found(request: Request) -> Head:
        if (found := studio.heads.get(request.path_params["key"])) is None:
            raise HTTPException(404)
        return found

    async def wrong(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code)

    async def index(request: Request) -> Response:
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
    async def file(request: Request) -> Response:
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
