"""A task as the file that `lwmecps task create` takes, with its recording as numbers by node."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import TypeAdapter

from lwmecps_core.specs import TaskDistribution, TaskSpec

MARK = "__recorded__"
Item = TaskSpec | TaskDistribution


def to_yaml(item: Item, notes: Sequence[str] = ()) -> Iterator[str]:
    """Pieces of YAML that `load_task` reads back equal; `notes` are its first lines."""
    data, recorded = _dumped(item), _recording(item)
    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120)
    yield "".join(f"# {' '.join(note.split())}\n" for note in notes)
    before, _, after = text.partition(f" {MARK}")
    yield before
    if isinstance(recorded, Mapping):
        for name, column in recorded.items():
            yield f"\n    {json.dumps(name, ensure_ascii=False)}: {_flow(column)}"
    else:
        yield from (f"\n- {_flow(row)}" for row in recorded)
    yield after


def to_json(item: Item) -> Iterator[str]:
    """Pieces of JSON that `load_task` reads back equal, many times faster than YAML."""
    data, recorded = _dumped(item), _recording(item)
    before, _, after = json.dumps(data, ensure_ascii=False).partition(f'"{MARK}"')
    yield before
    if isinstance(recorded, Mapping):
        rows = (f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(list(row))}" for name, row in recorded.items())
        yield from _between("{", rows, "}")
    elif recorded:
        yield from _between("[", (json.dumps(list(row)) for row in recorded), "]")
    yield after + "\n"


def _between(opening: str, rows: Iterator[str], closing: str) -> Iterator[str]:
    for i, row in enumerate(rows):
        yield (",\n" if i else opening) + row
    yield closing


def _dumped(item: Item) -> dict[str, Any]:
    """Plain data with a mark where the recording stands, if there is one."""
    inside = isinstance(item, TaskSpec)
    exclude: Any = {"workload": {"recorded_users"}} if inside else {"recorded_users"}
    data: dict[str, Any] = TypeAdapter(type(item)).dump_python(item, mode="json", exclude=exclude)
    if _recording(item):
        (data["workload"] if inside else data)["recorded_users"] = MARK
    return data


def _recording(item: Item) -> Mapping[str, Sequence[float]] | Sequence[Sequence[float]]:
    """Of a task the steps of every node, of a distribution the rows."""
    if isinstance(item, TaskDistribution):
        return item.recorded_users
    if not item.workload.recorded_users:
        return ()
    return _RecordedColumns([node.name for node in item.cluster.nodes], item.workload.recorded_users)


class _RecordedColumns(Mapping[str, Sequence[float]]):
    """Columns of rows by name, made one at a time."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        self.names, self.rows = names, rows

    def __getitem__(self, name: str) -> list[float]:
        at = self.names.index(name)
        return [row[at] for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _flow(row: Sequence[float]) -> str:
    return f"[{', '.join(map(_number, row))}]"


def _number(value: float) -> str:
    """A number as YAML reads it: whole ones without a fraction, and a point before an exponent."""
    if value.is_integer() and value < 1e15:
        return str(int(value))
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
