"""Make .venv and install what is missing; say in one line what the machine lacks. Standard library only.

Run by the Makefile before every target; when nothing has changed since the last install it does nothing.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed.sha256"
PYTHON = VENV / "bin" / "python"

# Shared libraries that wheels expect of the system, and the Debian packages that hold them.
SYSTEM_PACKAGES = {
    "libGL.so": "libgl1",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libEGL.so": "libegl1",
    "libGLESv2": "libgles2",
    "libSM.so": "libsm6",
    "libXext.so": "libxext6",
    "libportaudio": "libportaudio2",
    "libstdc++": "libstdc++6",
    "libgomp": "libgomp1",
}


def main() -> None:
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        lacks(
            f"Python 3.11 or 3.12 is needed, this is {platform.python_version()}: "
            "install one, or name it: make PYTHON=python3.11"
        )
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        lacks(
            f"Linux on x86-64 is needed, this is {platform.system()} on {platform.machine()}, for which decord, which "
            "reads the clips, has no package; a container or a virtual machine will do"
        )
    if shutil.which("git") is None:
        lacks("git is needed: apt-get install git")
    digest = wanted()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    make_venv()
    print("Installing the pinned packages into .venv (3 GB, some minutes) ...", flush=True)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--constraint", "constraints.txt", "--editable", ".[test]"], "pip could not install the packages")
    check_imports()
    STAMP.write_text(digest)


def wanted() -> str:
    """Digest of everything that decides what is installed."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode()])).hexdigest()


def make_venv() -> None:
    version = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", version], capture_output=True).returncode == 0:
        return
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if result.returncode:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        lacks(f"this Python cannot make virtual environments: apt-get install python{version}-venv")


def check_imports() -> None:
    """Import what loads system libraries, and name the package that holds one that is missing."""
    modules = "import cv2, av, decord, soundfile, espeakng_loader, mediapipe"
    result = subprocess.run(
        [PYTHON, "-c", modules], capture_output=True, text=True, env={**os.environ, "GLOG_minloglevel": "3"}
    )
    if result.returncode == 0:
        return
    last = result.stderr.strip().splitlines()[-1]
    missing = re.search(r"(lib[\w+.-]+\.so[\w.]*)", last)
    package = next((p for name, p in SYSTEM_PACKAGES.items() if missing and missing[1].startswith(name)), None)
    lacks(f"the system library {missing[1]} is missing: apt-get install {package}" if package else last)


def run(command: list, problem: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        lacks(f"{problem}; pip's own words stand above")


def lacks(what: str) -> None:
    sys.exit(f"make: {what}")


if __name__ == "__main__":
    main()
