"""Pictures of Prefect's and MLflow's pages for the README, and a list of what these pages ask of other hosts.

    python docs/screenshots.py PREFECT_URL MLFLOW_URL [PICTURES]     while `dreamtalk ui` runs, after a study and a flow

It drives Chromium over its DevTools protocol: every request that a page makes is seen.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit

from PIL import Image
from websockets.sync.client import ClientConnection, connect

HERE = {"127.0.0.1", "localhost", ""}
SIZE = (1500, 900)  # px of the window; pictures are saved at half of it
PATIENCE_S = 60.0
COMPARED = ("f_lmd", "m_lmd", "sa", "sync_conf_corpus", "lve")  # by the parallel coordinates in the picture
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    f"--window-size={SIZE[0]},{SIZE[1]}",
)


class Page:
    """A tab of Chromium; `requests` is every address that it has asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.requests: list[str] = []
        self._socket, self._ids = socket, itertools.count(1)
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, address: str, words: str, settle_s: float = 8.0) -> None:
        """Go to an address and wait until the page says `words`, then a little for its drawings.

        Raises:
            TimeoutError: it does not say so.
        """
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        self.wait_for(words)
        self.pause(settle_s)
        self.run("document.querySelector('[aria-label=\"Close\"]')?.click()")  # MLflow opens a panel by itself
        self.pause(1.0)

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page does not say {words!r}: {self.text()[:500]!r}")
            self.pause(0.3)

    def pause(self, seconds: float) -> None:
        """Wait, and see what the page asks for meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._see(json.loads(self._socket.recv(timeout=left)))
            except TimeoutError:
                return

    def text(self) -> str:
        return self.run("document.body ? document.body.innerText : ''")

    def run(self, script: str):
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def click(self, words: str) -> None:
        """Press the innermost element that says exactly `words`."""
        self.run(
            "[...document.querySelectorAll('*')].filter(e => e.innerText && e.innerText.trim() === "
            f"{json.dumps(words)}).pop()?.click()"
        )

    def choose(self, place: int, words: Sequence[str]) -> None:
        """Tick `words` in the page's multiple choice number `place` (from 0)."""
        field = f"document.querySelectorAll('input[role=combobox]')[{place}].getBoundingClientRect()"
        for word in words:
            spot = {"x": self.run(f"{field}.x + 5"), "y": self.run(f"{field}.y + 5"), "button": "left", "clickCount": 1}
            for kind in ("mousePressed", "mouseReleased"):
                self._call("Input.dispatchMouseEvent", type=kind, **spot)
            self._call("Input.insertText", text=word)
            self.pause(0.7)
            self.click(word)
            self.pause(0.3)
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key="Escape", windowsVirtualKeyCode=27)
        self.pause(2.0)

    def picture(self) -> Image.Image:
        data = self._call("Page.captureScreenshot", format="png")["data"]
        return Image.open(BytesIO(base64.b64decode(data))).convert("RGB")

    def outside(self) -> list[str]:
        """The requests that went to other machines."""
        asked = [address for address in self.requests if urlsplit(address).scheme in {"http", "https", "ws", "wss"}]
        return [address for address in asked if urlsplit(address).hostname not in HERE]

    def _call(self, method: str, **params):
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._see(message)

    def _see(self, message: dict) -> None:
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message.get("method") == "Network.webSocketCreated":
            self.requests.append(message["params"]["url"])


@contextmanager
def chromium() -> Iterator[Page]:
    """A page in a new Chromium with an empty profile.

    Raises:
        FileNotFoundError: there is no Chromium on this machine.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("no Chromium on this machine (apt install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_tab(Path(profile)), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(20)


def _tab(profile: Path) -> str:
    """The address of the first tab, once Chromium has written its port down."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                return next(tab for tab in json.load(answer) if tab["type"] == "page")["webSocketDebuggerUrl"]
        except (OSError, IndexError, StopIteration):
            time.sleep(0.2)
    raise TimeoutError("Chromium does not start")


def _ask(prefect: str, what: str, **body) -> list[dict]:
    request = urllib.request.Request(
        f"{prefect}/api/{what}/filter", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def prefect_pages(prefect: str) -> dict[str, tuple[str, str]]:
    """Name of each picture: (address, words that the page shows when it is ready)."""
    runs = _ask(prefect, "flow_runs", sort="START_TIME_DESC", limit=50)
    pages = {"prefect_runs": (f"{prefect}/runs", "Runs")}
    for run in runs:
        if run["name"] and run["state_name"] in {"Running", "Completed", "Failed"}:
            name = "prefect_" + {"Completed": "cached"}.get(run["state_name"], run["state_name"].lower())
            pages.setdefault(name, (f"{prefect}/runs/flow-run/{run['id']}", run["name"]))
            pages.setdefault(f"{name}_artifacts", (f"{prefect}/runs/flow-run/{run['id']}?tab=Artifacts", run["name"]))
    failed = _ask(prefect, "task_runs", sort="EXPECTED_START_TIME_DESC", limit=200)
    for task in failed:
        if task["state_type"] == "FAILED":
            pages.setdefault("prefect_failed_stage", (f"{prefect}/runs/task-run/{task['id']}", task["name"]))
    return pages


def mlflow_pages(mlflow: str) -> dict[str, tuple[str, str]]:
    """As :func:`prefect_pages`: the runs of an evaluation side by side, the list as charts, and a run's pictures."""
    from mlflow import MlflowClient

    client = MlflowClient(mlflow)
    experiment = max(client.search_experiments(), key=lambda found: found.last_update_time or 0)
    of_stage = "tags.stage = 'evaluate'"  # charts of all stages have empty sections
    runs = client.search_runs([experiment.experiment_id], of_stage, max_results=12)
    ids = json.dumps([run.info.run_id for run in runs], separators=(",", ":"))
    of = json.dumps([experiment.experiment_id])
    place = f"{mlflow}/#/experiments/{experiment.experiment_id}/runs"
    pages = {
        "mlflow_compare": (f"{mlflow}/#/compare-runs?runs={ids}&experiments={of}", "Parallel"),
        "mlflow_charts": (f"{place}?compareRunsMode=CHART&searchFilter={quote(of_stage)}", "Model metrics"),
        "mlflow_runs": (place, "evaluate"),
    }
    for run in client.search_runs([experiment.experiment_id], "tags.stage = 'report'", max_results=1):
        pages["mlflow_pictures"] = (f"{place}/{run.info.run_id}/artifacts", "figures")
    return pages


def main() -> None:
    prefect, mlflow, *folder = sys.argv[1:]
    target = Path(folder[0] if folder else Path(__file__).parent)
    with chromium() as page:
        for name, (address, words) in {**prefect_pages(prefect), **mlflow_pages(mlflow)}.items():
            try:
                page.open(address, words)
            except TimeoutError as error:
                print(f"{name}: {error}")
            if name == "mlflow_compare":  # it opens on the first metric that all runs share
                page.click("Clear All")
                page.choose(1, COMPARED)
            picture = page.picture()
            picture.thumbnail((SIZE[0] * 2 // 3, SIZE[1] * 2 // 3), Image.Resampling.LANCZOS)
            picture.save(target / f"{name}.jpg", quality=80, optimize=True)
        print(f"{len(page.requests)} requests; to other machines: {page.outside() or 'none'}")


if __name__ == "__main__":
    main()
