"""What the flow `reproduce` adds to `dvc repro`: seconds a stage, on a repository of stages that do next to nothing.

Both run the same graph, in copies of one repository, under a Prefect server that is up already; half of the stages
stand in a row, each of the others beside one of them. The flow's start (Python, Prefect, the graph) is in its time.

python -m benchmarks.flow_overhead [--stages 20] [--parallel 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from flows.servers import prefect_server

ROOT = Path(__file__).resolve().parents[1]
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(pathlib.Path('params.yaml').read_text())"


def repository(folder: Path, stages: int) -> Path:
    """A DVC repository with so many stages."""
    folder.mkdir()
    (folder / "write.py").write_text(WRITE)
    (folder / "params.yaml").write_text("word: hello\n")
    graph = {}
    for number in range(stages):
        after = [f"{number - number % 2 - 2}.txt"] if number > 1 else []
        command = f"{sys.executable} write.py {number}.txt"
        graph[f"stage{number:02d}"] = {
            "cmd": command,
            "deps": ["write.py", *after],
            "params": ["word"],
            "outs": [f"{number}.txt"],
        }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": graph}))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def seconds(repo: Path, *command: str) -> float:
    """How long ``python -m command`` takes in `repo`."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", *command], cwd=repo, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = repository(Path(folder) / "plain", given.stages)
        shown = Path(shutil.copytree(plain, Path(folder) / "flow"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        flow = ("flows.cli", "reproduce", "--parallel", str(given.parallel), "--prefect-port", str(port))
        os.chdir(shown)  # whose server it is
        with prefect_server(port):
            for what in (f"{given.stages} stages that run", "nothing to run"):
                alone, watched = seconds(plain, "dvc", "repro"), seconds(shown, *flow)
                print(
                    f"{what}: dvc repro {alone:.1f} s, the flow {watched:.1f} s ({watched / alone:.1f} times): "
                    f"{(watched - alone) / given.stages:.2f} s more a stage"
                )
        print("dvc.lock is the same:", (plain / "dvc.lock").read_bytes() == (shown / "dvc.lock").read_bytes())


if __name__ == "__main__":
    main()
