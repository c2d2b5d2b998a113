"""A small process beside a flow that ends what the flow has started should it die without a word (SIGKILL, no memory).

Its input is the flow's end of a pipe: "+PID" and "-PID" say which process groups live. When the pipe closes, whatever
still lives has lost its flow: SIGINT first, on which DVC gives its locks back. It is
run by its path, so that it loads nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 10.0


def watch(lines) -> None:
    """Read `lines` to their end, then end the process groups that are left."""
    left: set[int] = set()
    for line in lines:
        (left.add if line[0] == "+" else left.discard)(int(line[1:]))
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        alive = {group for group in left if _send(group, sign)}
        deadline = time.monotonic() + GRACE_S
        while alive and time.monotonic() < deadline:
            time.sleep(0.1)
            alive = {group for group in alive if _send(group, 0)}


def _send(group: int, sign: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sign)
        return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watch(sys.stdin)
