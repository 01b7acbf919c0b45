"""A task of what `kubectl get nodes,deployments,pods -o yaml|json` wrote: that of `task discover`, without a cluster.

Maps and drops what `services.cli.discovery` does with the API server's lists. Assumes: that the dump has all nodes; a
namespace without LimitRanges where the dump has none; round trips and load, which no dump has (placeholders). Drops:
objects of other kinds and namespaces, which are counted. JSON is read object by object, YAML whole (up to 8 MiB).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lwmecps_core.cluster.kubernetes_objects import POD_HASH
from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reading import FastUniqueLoader, KeyTwiceError
from lwmecps_core.specs import KubernetesSpec, TaskSpec
from lwmecps_core.tasks.importers import json_lists
from lwmecps_core.tasks.importers.tables import BOM, MIB, opened, read, refuse_twice, refused, whole
from services.cli.discovery import Listed, task_of
from services.cli.imports import KubectlOptions

INSIDE = ("Deployment", "Pod", "LimitRange")
"""Kinds of objects that lie in a namespace."""
MOST_YAML = 8 * MIB
"""A YAML reader takes 25 times a file's size, and seconds for each MiB."""
ITEMS = ("items", 1)
"""Where the objects of a List in JSON stand: the key, and the brackets around it."""
SIDES: Mapping[str, Any] = dict.fromkeys(("resources", "restartPolicy"))
KEPT: Mapping[str, Any] = {
    "Node": {
        "metadata": dict.fromkeys(("name", "labels")),
        "spec": dict.fromkeys(("unschedulable", "taints")),
        "status": dict.fromkeys(("allocatable", "capacity", "conditions")),
    },
    "Pod": {
        "metadata": {
            **dict.fromkeys(("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp")),
            "labels": {POD_HASH: None},
            "ownerReferences": dict.fromkeys(("kind", "name")),
        },
        "spec": {"containers": SIDES, "initContainers": SIDES, "nodeName": None, "overhead": None, "resources": None},
        "status": {"phase": None},
    },
}
"""What is read of the kinds of objects that there are many of; None: all."""
PLACEHOLDERS = "round trips, CPU time per request and load are placeholders: no dump has them"


def read_dump(files: Sequence[Path], options: KubectlOptions) -> tuple[TaskSpec, list[str]]:
    """The task of the dumped objects, and what was left out or assumed.

    Raises `InvalidInput` for files that hold no Kubernetes objects, for several namespaces with Deployments of which
    none is named, and as `task_of`.
    """
    found: dict[str, list[Any]] = {"Node": [], **{kind: [] for kind in INSIDE}}
    other, away = Counter[str](), Counter[str]()
    refuse_twice(files)
    seen: set[tuple[str, ...]] = set()
    odd: list[str] = []
    shared: dict[str, Any] = {}
    for path in files:
        for item in _objects(path, odd):
            kind = str(item["kind"])
            if kind not in found:
                other[kind] += 1
                continue
            if kind in INSIDE and options.namespace not in ("", _namespace(item)):
                away[kind] += 1
                continue
            at = (kind, _namespace(item) if kind in INSIDE else "", str(item["metadata"]["name"]))
            if at in seen:
                odd.append(f"{path.name}: {kind} {at[-1]} is there twice: the first counts")
                continue
            seen.add(at)
            found[kind].append(_kept(item, KEPT.get(kind), shared))
    namespace = options.namespace or _only_namespace(found["Deployment"], str(files[0]))
    inside = {kind: [item for item in found[kind] if _namespace(item) == namespace] for kind in INSIDE}
    listed = Listed(
        nodes=found["Node"], deployments=inside["Deployment"], pods=inside["Pod"], limit_ranges=inside["LimitRange"]
    )
    where = parse(KubernetesSpec, {"namespace": namespace}, "namespace of the Deployments")
    try:
        task, said = task_of(listed, where, options.env_id, str(files[0]))
    except InvalidInput as error:
        raise InvalidInput(error.source, [*error.violations, *(Violation(".", one) for one in odd)]) from None
    away.update({kind: len(found[kind]) - len(inside[kind]) for kind in INSIDE})
    notes = [
        f"{len(found['Node'])} nodes, {len(inside['Deployment'])} Deployments, {len(inside['Pod'])} pods of {namespace}"
    ]
    if not inside["LimitRange"]:
        notes.append("no LimitRange in the dump: taken for a namespace without (kubectl get …,limitranges)")
    if not inside["Pod"]:
        notes.append("no pods in the dump: where Deployments run is not known (kubectl get …,pods)")
    if left := {**{kind: n for kind, n in away.items() if n}, **other}:
        notes.append(
            "left out: " + ", ".join(f"{n} {kind}{' elsewhere' if kind in INSIDE else ''}" for kind, n in left.items())
        )
    return task, [*notes, *odd, *said, PLACEHOLDERS]


def _objects(path: Path, odd: list[str]) -> Iterator[dict[str, Any]]:
    """Objects in a file: one, the items of a List, or several documents of either; `odd` gets lines on the nameless."""
    for document, items in _json_document(path) if _is_json(path) else _yaml_documents(path):
        if not isinstance(document, dict) or "kind" not in document:
            raise refused(path, ".", "holds no Kubernetes object: write kubectl get nodes,deployments,pods -o yaml")
        for i, item in enumerate(items):
            metadata = item.get("metadata") if isinstance(item, dict) else None
            if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
                odd.append(f"{path.name}, items[{i}] left out: has no metadata with a name")
                continue
            # Items of a NodeList have no kind of their own.
            yield {"kind": str(document["kind"]).removesuffix("List"), **item}


def _is_json(path: Path) -> bool:
    with opened(path) as file:
        return read(path, file, 4096).removeprefix(BOM).lstrip().startswith(b"{")


def _json_document(path: Path) -> Iterator[tuple[Any, Iterable[Any]]]:
    """The one document of a JSON file, and its objects, which are read one after the other."""
    document = json_lists.around(path, *ITEMS)
    if not isinstance(document.get("items"), list):
        yield document, [document]
        return
    texts = enumerate(json_lists.elements(path, *ITEMS))
    yield document, (json_lists.parsed(path, f"items[{i}]", text) for i, text in texts)


def _yaml_documents(path: Path) -> Iterator[tuple[Any, Iterable[Any]]]:
    text = whole(path, MOST_YAML, "write it as JSON (kubectl get … -o json), which is read in pieces")
    try:
        documents = list(yaml.load_all(text, FastUniqueLoader))
    except KeyTwiceError as error:
        raise InvalidInput(str(path), error.violations) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise refused(path, ".", f"not readable: {error}") from None
    for document in documents:
        if document is not None:
            items = document.get("items") if isinstance(document, dict) else None
            yield document, items if isinstance(items, list) else [document]


def _kept(item: Any, keys: Any, shared: dict[str, Any], level: int = 0) -> Any:
    """What stands in `item` under `keys`, to any depth; what is no mapping or list of them stays as it is.

    Parts that are equal are one in memory (`shared`, by their text): pods of a Deployment differ in their names only.
    """
    made = item
    if keys is not None and isinstance(item, list):
        made = [_kept(one, keys, shared, level) for one in item]
    elif keys is not None and isinstance(item, dict):
        made = {key: _kept(item[key], inner, shared, level + 1) for key, inner in keys.items() if key in item}
    return shared.setdefault(str(made), made) if level > 1 and isinstance(made, list | dict) else made


def _namespace(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("namespace") or "default")


def _only_namespace(deployments: Sequence[dict[str, Any]], source: str) -> str:
    names = sorted({_namespace(item) for item in deployments})
    if len(names) > 1:
        reason = f"Deployments of {', '.join(names)}: say whose, --namespace {names[0]}"
        raise InvalidInput(source, [Violation("--namespace", reason)])
    return names[0] if names else "default"
