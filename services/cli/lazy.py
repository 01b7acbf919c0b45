"""Commands whose modules are imported when they are called: `lwmecps --help` must not wait for all of them."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.main import get_command_from_info, get_group_from_info
from typer.models import TyperInfo


class LazyPart(NamedTuple):
    """Where a command, or a group of them, is, and its sentence in the help; `app` is the Typer application there."""

    module: str
    sentence: str
    group: bool = False
    app: str = "app"


class LazyCommands(Mapping[str, Any]):
    """Commands by name; one is made when it is asked for."""

    def __init__(self, parts: Mapping[str, LazyPart]) -> None:
        self._parts, self._made = parts, dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, self._parts[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def _command(name: str, part: LazyPart) -> Any:
    from services.cli.help import PlainHelp

    app: typer.Typer = getattr(import_module(part.module), part.app)
    for command in app.registered_commands:
        command.cls = PlainHelp
    if part.group:
        info = TyperInfo(app, name=name)
        return get_group_from_info(info, pretty_exceptions_short=True, suggest_commands=True, rich_markup_mode=None)
    for command in app.registered_commands:
        if name == (command.name or command.callback.__name__.replace("_", "-")):  # type: ignore[union-attr]
            return get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=None)
    raise KeyError(name)
