"""DVC's graph as the flows see it: stages in an order in which they can run, and which of them DVC finds unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.utils.serialize import modify_yaml

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml.

    Attributes:
        name: as DVC addresses it, "train_denoiser@full".
        needs: names of the stages whose outputs it reads.
        outs: what it writes, relative to the repository; metrics: those of them that are metrics files.
    """

    name: str
    needs: tuple[str, ...]
    description: str
    outs: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def group(self) -> str:
        """The name without its variant: "train_denoiser"."""
        return self.name.partition("@")[0]


def stage_graph(root: str | Path = ".") -> dict[str, Stage]:
    """The stages of dvc.yaml by name, in the order of ``dvc repro``: each behind those that it needs."""
    return _stages(Repo(str(root)))


def survey(root: str | Path = ".") -> tuple[dict[str, Stage], set[str]]:
    """The graph, and the stages that DVC finds unchanged as things lie now.

    One look in this process, in place of a process per stage. It is DVC's own verdict (``Stage.changed``: command,
    dependencies, parameters, outputs), good for a stage as long as nothing that it needs has run since.
    """
    repo = Repo(str(root), _wait_for_lock=True)
    with repo.lock:
        graph = _stages(repo)
        unchanged = {stage.addressing for stage in repo.index.graph if not _changed(stage)}
    return graph, unchanged


def with_needs(graph: dict[str, Stage], wanted: Iterable[str] | None) -> dict[str, Stage]:
    """The part of `graph` that makes the `wanted` stages (a name, or a group for all its variants); none: all of it.

    Raises:
        ValueError: there is no such stage; names those that there are.
    """
    wanted = set(wanted or ())
    if not wanted:
        return graph
    groups = dict.fromkeys(stage.group for stage in graph.values())
    if unknown := wanted - set(graph) - set(groups):
        raise ValueError(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(groups)}")
    chosen: set[str] = set()
    for stage in reversed(graph.values()):
        if stage.name in wanted | chosen or stage.group in wanted:
            chosen |= {stage.name, *stage.needs}
    return {name: stage for name, stage in graph.items() if name in chosen}


def locked_stages() -> list[str]:
    """The stages in dvc.lock, in its order; none where there is no such file."""
    return list(yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]) if LOCK.is_file() else []


def sort_lock(before: list[str], graph: Iterable[str]) -> None:
    """Give dvc.lock the bytes that ``dvc repro`` would have: it appends stages in its order, a flow as they end.

    Args:
        before: :func:`locked_stages` when the flow began; these keep their places.
        graph: the stages in the order of ``dvc repro``.
    """
    now = locked_stages()
    new = [name for name in graph if name in now and name not in before]
    if now == [*before, *new]:
        return
    with Repo(_wait_for_lock=True).lock, modify_yaml(LOCK) as content:
        for name in new:
            content["stages"].move_to_end(name)


def _stages(repo: Repo) -> dict[str, Stage]:
    graph = repo.index.graph  # an edge leads from a stage to what it needs
    names = {node: node.addressing for node in graph}
    return {
        names[node]: Stage(
            names[node],
            tuple(sorted(names[needed] for needed in graph.successors(node))),
            node.desc or "",
            tuple(str(out) for out in node.outs),
            tuple(str(out) for out in node.outs if out.metric),
        )
        for node in plan_repro(graph)
    }


def _changed(stage) -> bool:
    """True where DVC cannot tell, too: its own process will."""
    try:
        return stage.changed()
    except DvcException:
        return True
