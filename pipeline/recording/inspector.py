"""Which stages are done, stale, missing or failed, found from dvc.lock files without DVC.

A file is taken for the recorded one without reading it if its size is the recorded one and it has not changed since
the dvc.lock was written, nor since the outputs made from it in that folder were. Any other file is hashed as DVC
hashes it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pipeline.recording.guards import guards
from pipeline.recording.hashes import Look, look_at, md5
from stages.artifacts.documents import load_yaml
from stages.artifacts.plans import recorded_plans
from stages.artifacts.publishing import failure
from stages.artifacts.records import recorded_stages
from stages.dag.data import data_nodes
from stages.dag.folders import run_folder
from stages.dag.graph import Plans, evaluation_nodes, guard_keys, root_nodes, run_nodes
from stages.dag.names import LOCK, PARAMS
from stages.dag.nodes import PRUNED, Node, Out
from stages.dag.revisions import revision_of
from stages.errors import Refusal
from stages.parameters.differences import as_values, unrecorded
from stages.parameters.keys import flat, lookup
from stages.parameters.run import RunParams

State = Literal["done", "stale", "missing", "failed"]
"""Up to date; recorded, but something changed since; never run; the last attempt ended with an error."""


@dataclass(frozen=True)
class NodeStatus:
    """The state of one stage.

    Attributes:
        why: what changed, or the error of the last attempt; "" where it is done.
        inherited: whether it is stale only because an earlier stage will make one of its inputs again.
        damaged: whether one of its outputs is not the recorded one.
    """

    node: Node
    state: State
    why: str = ""
    inherited: bool = False
    damaged: bool = False


class Inspector:
    """Compares the records of stages with the files on disk and with the current parameters.

    Each file is looked at and hashed once at most.

    Args:
        params: the run's current parameters.
        content: content of the root's params.yaml, if it is not yet written to disk.
    """

    def __init__(self, root: Path, params: RunParams, content: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.content = content
        self.values = as_values(params)
        self.params = params
        self._locks: dict[str, dict[str, Any]] = {}
        self._hashes: dict[str, str | None] = {}
        self._looks: dict[str, Look | None] = {}
        self._limits: dict[str, dict[str, int]] = {}

    def states(self, nodes: Iterable[Node]) -> Iterator[NodeStatus]:
        """The state of each node, given in the order of computation; one with an input to be made again is stale."""
        behind: set[str] = set()
        for node in nodes:
            # Earlier stages may make a guard's inputs again with the same bytes, so these are not compared yet.
            status = self.state(node, behind if node.stage == PRUNED else frozenset())
            if status.state == "done":
                source = next((path for path in node.all_deps() if path in behind), None)
                if source is not None:
                    status = NodeStatus(node, "stale", f"{source} will change", inherited=True)
            if status.state != "done":
                behind.update(out.path for out in node.outs.values())
            yield status

    def state(self, node: Node, unsure: Set[str] = frozenset()) -> NodeStatus:
        """The state of one node, regardless of earlier stages.

        Args:
            unsure: paths of inputs that are not compared.
        """
        why = self._difference(node, unsure)
        damage = self._damage(node)
        if why is None and damage is None:
            return NodeStatus(node, "done")
        why = why or damage or ""
        failed = failure(self.root / node.folder, node.stage)
        if failed is not None:
            return NodeStatus(node, "failed", failed, damaged=damage is not None)
        return NodeStatus(node, "missing" if why == "never run" else "stale", why, damaged=damage is not None)

    def recorded(self, node: Node) -> dict[str, Any] | None:
        """The stage's entry in its dvc.lock, or None."""
        if node.folder not in self._locks:
            self._locks[node.folder] = recorded_stages(self.root / node.folder)
        return self._locks[node.folder].get(node.stage)

    def _difference(self, node: Node, unsure: Set[str]) -> str | None:
        entry = self.recorded(node)
        if entry is None:
            return "never run"
        changed = self._changed_param(node, entry)
        if changed is not None:
            return f"{changed} changed"
        deps = {str(dep["path"]): dep for dep in entry.get("deps", [])}
        for path in (path for path in node.all_deps() if path not in unsure):
            name = _relative(path, node.folder)
            if name not in deps:
                return f"{path} is a new input"
            if self._hash(path, deps[name], self._limit(node.folder, name)) != deps[name].get("md5"):
                return f"{path} changed"
        outs = {str(out["path"]) for out in entry.get("outs", [])}
        return next((f"{out.path} is a new output" for out in node.outs.values() if _name(out, node) not in outs), None)

    def _damage(self, node: Node) -> str | None:
        """Which recorded output is deleted or changed, in words; None if all are as recorded."""
        outs = {str(out["path"]): out for out in (self.recorded(node) or {}).get("outs", [])}
        for out in node.outs.values():
            name = _name(out, node)
            if name not in outs:
                continue
            found = self._hash(out.path, outs[name], self._limit(node.folder, name))
            if found is None:
                return f"{out.path} is deleted"
            if found != outs[name].get("md5"):
                return f"{out.path} changed"
        return None

    def _changed_param(self, node: Node, entry: dict[str, Any]) -> str | None:
        if node.stage == "resolve":
            return self._resolved_difference() or self._file_param_difference(node, entry)
        if not node.keys:
            return self._file_param_difference(node, entry)
        if node.root_keys and (difference := self._file_param_difference(node, entry, besides=PARAMS)):
            return difference
        recorded: dict[str, Any] = {}
        for values in entry.get("params", {}).values():
            recorded |= values
        keys = guard_keys(recorded) if node.stage == PRUNED else node.keys
        changed = (key for key in keys if key in recorded and recorded[key] != self._value(key))
        return next(chain(changed, unrecorded(keys, recorded, self.values)), None)

    def _value(self, key: str) -> Any:
        try:
            return lookup(self.values, key)
        except (KeyError, TypeError):
            # A guard may be recorded with a key that this version of the program does not know.
            return None

    def _resolved_difference(self) -> str | None:
        path = self.root / run_folder(self.params.run) / PARAMS
        if not path.exists():
            return None
        try:
            before = load_yaml(path)
        except Refusal:
            # `_damage` compares this file too, as an output of `resolve`, and says that it changed.
            return None
        was, now = flat(before), flat(self.values)
        changed = (key for key in now if key in was and was[key] != now[key])
        # Revisions aside: a stage that was declared after the run was planned has none there.
        new = unrecorded((key for key in now if not key.startswith("revision.")), was, self.values)
        return next(chain(changed, new, (key for key in was if key not in now)), None)

    def _file_param_difference(self, node: Node, entry: dict[str, Any], besides: str | None = None) -> str | None:
        """The first key that differs from what the files hold that a stage depends on.

        Args:
            besides: name of a file in the run's folder that is not looked at.
        """
        own = (self.root / run_folder(self.params.run) / besides).resolve() if besides else None
        for name, values in entry.get("params", {}).items():
            if (self.root / node.folder / name).resolve() == own:
                continue
            path = (self.root / node.folder / name).resolve()
            if path.suffix == ".py":
                if values.get("REVISION") != revision_of(path.stem):
                    return f"revision.{path.stem}"
                continue
            root_file = path == (self.root / PARAMS).resolve()
            content = self.content if root_file and self.content is not None else load_yaml(path)
            for key, value in values.items():
                try:
                    current = lookup(content, key)
                except (KeyError, TypeError):
                    return str(key)
                if value != current:
                    return str(key)
        return None

    def _limit(self, folder: str, name: str) -> int:
        """The time in ns since which a file must not have changed, or it has to be hashed.

        That is when dvc.lock was written, or for an input, when the outputs made from it were: dvc.lock is written
        anew after each stage, perhaps long after the input was read.

        Args:
            name: of the file, relative to the folder.
        """
        if folder not in self._limits:
            limits = {"": (self.root / folder / LOCK).stat().st_mtime_ns}
            hashes: dict[str, str] = {}
            for entry in self._locks[folder].values():
                for item in (*entry.get("outs", []), *entry.get("deps", [])):
                    # Recorded with two hashes (as an output and as an input), it has to be hashed in any case.
                    if hashes.setdefault(item["path"], item["md5"]) != item["md5"]:
                        limits[item["path"]] = 0
                made = [self._look(_absolute(out["path"], folder)) for out in entry.get("outs", [])]
                newest = max((look.newest for look in made if look), default=limits[""])
                for dep in entry.get("deps", []):
                    limits[dep["path"]] = min(newest, limits.get(dep["path"], limits[""]))
            self._limits[folder] = limits
        limits = self._limits[folder]
        return limits.get(name, limits[""])

    def _hash(self, path: str, recorded: dict[str, Any], limit: int) -> str | None:
        """DVC's hash of the file or folder at `path`, or None; the recorded one where it is unchanged since `limit`."""
        look = self._look(path)
        if look is not None and look.newest <= limit and look.fits(recorded):
            return str(recorded["md5"])
        if path not in self._hashes:
            self._hashes[path] = md5(self.root / path)
        return self._hashes[path]

    def _look(self, path: str) -> Look | None:
        if path not in self._looks:
            self._looks[path] = look_at(self.root / path)
        return self._looks[path]


def _name(out: Out, node: Node) -> str:
    """An output's name in its folder's dvc.lock."""
    return _relative(out.path, node.folder)


def _relative(path: str, folder: str) -> str:
    # As if the root were "/": relpath would otherwise look up the working directory for each path.
    return posixpath.relpath(f"/{path}", f"/{folder}")


def _absolute(name: str, folder: str) -> str:
    """The path, relative to the root, of a name in a folder's dvc.lock: the inverse of `_relative`."""
    return posixpath.normpath(f"{folder}/{name}")


def project_nodes(
    params: RunParams, guards: Mapping[int, Node] | None = None, plans: Plans | None = None
) -> list[Node]:
    """The nodes of a run's data, of the run and of its evaluations, in order; arguments as `run_nodes`."""
    nodes = [*data_nodes(params), *run_nodes(params, guards, plans)]
    return [*nodes, *evaluation_nodes(params), *root_nodes(params)]


def nodes_on_disk(root: Path, params: RunParams) -> list[Node]:
    """`project_nodes` as they are on disk: pruned epochs by their guards, recorded ones with the planned stages."""
    return project_nodes(params, guards(root, params), recorded_plans(root, params))


def of_run(root: Path, params: RunParams, content: Mapping[str, Any] | None = None) -> list[NodeStatus]:
    """The state of every stage of a run and its data set, in the order of computation.

    Args:
        content: content of the root's params.yaml, if it is not yet written to disk.
    """
    return list(Inspector(root, params, content).states(nodes_on_disk(root, params)))
