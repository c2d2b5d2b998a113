"""A stage that runs while the test does something to it."""

from __future__ import annotations

import threading

from flows.stage_process import StageFailed, run_stage


def running(stage: str) -> tuple[threading.Thread, list[StageFailed]]:
    """The thread that runs a stage, and a list that gets its failure."""
    failures: list[StageFailed] = []

    def run() -> None:
        try:
            run_stage(stage, lambda line: None)
        except StageFailed as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures
