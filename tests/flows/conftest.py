"""A real DVC repository in small: two stages in a row and one that fails when told to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STAGES = """
stages:
  first:
    cmd: {python} write.py first.txt
    deps: [write.py]
    params: [word]
    outs: [first.txt]
  second:
    cmd: {python} write.py second.txt
    deps: [write.py, first.txt]
    outs: [second.txt]
"""

WRITE = """
import sys, time
from pathlib import Path
word = Path("params.yaml").read_text().split()[1]
print("writing", sys.argv[1], flush=True)
if word == "fail" : sys.exit("the word is fail")
if word == "sleep": Path("started").touch(); time.sleep(60)
Path(sys.argv[1]).write_text(word)
"""


@pytest.fixture
def dvc_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "config" / name))
    repo = tmp_path / "repo"
    repo.mkdir()
    monkeypatch.chdir(repo)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    (repo / "dvc.yaml").write_text(STAGES.format(python=sys.executable))
    (repo / "write.py").write_text(WRITE)
    (repo / "params.yaml").write_text("word: hello\n")
    return repo
