"""``dreamtalk sync``: what MLflow shows, rebuilt from DVC's outputs."""

from __future__ import annotations

import os

from flows.commands.shell import parameters, repository, user_errors


def sync() -> None:
    """Give every stage of dvc.lock a run in MLflow, from its outputs; what has one is left as it is.

    For a fresh clone (after `dvc pull`), for stages that DVC restored, and for runs that were logged elsewhere.
    """
    os.chdir(repository())
    with user_errors():
        parameters()  # before the slow imports: it may say no at once
        from stages.dashboard import sync as rebuild

        found = rebuild()
    print(f"{len(found)} stages have their run in MLflow (make ui shows them)")
