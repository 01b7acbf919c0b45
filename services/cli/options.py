"""Command-line options made from configuration classes, so that every setting has its one name everywhere."""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
import yaml

from lwmecps_core.errors import InvalidInput, Violation

PLAIN = (int, float, bool, str)


@dataclass(frozen=True)
class Section:
    """A group of options: the fields of `classes` (fields of the same name are one option), without `leave_out`."""

    title: str
    classes: tuple[type, ...]
    leave_out: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()
    """Fields whose option has another name (field, option)."""


def with_options(*sections: Section) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that takes `given: dict[str, dict[str, Any]]`: Typer then sees an option for every field.

    `given[title]` holds the options of a section that were on the command line, by field name. A field that an earlier
    section has is left out of later ones.
    """
    taken: dict[str, tuple[str, str]] = {}
    parameters: list[inspect.Parameter] = []
    for section in sections:
        rename = dict(section.rename)
        for name, (kind, default) in _fields(section).items():
            key = rename.get(name, name)
            if key not in taken:
                taken[key] = (section.title, name)
                parameters.append(_parameter(key, kind, default, section.title))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "given"]

        def run(**arguments: Any) -> None:
            given: dict[str, dict[str, Any]] = {section.title: {} for section in sections}
            for key, (title, name) in taken.items():
                value = arguments.pop(key)
                if value not in (None, []):
                    given[title][name] = value
            command(**arguments, given=given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        signature = inspect.Signature([*own, *parameters])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return run

    return decorate


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML (or JSON) file that holds a mapping; raises `InvalidInput` naming the file."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(str(path), [Violation(".", error.strerror or str(error))]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), [Violation(".", f"not YAML: {error}")]) from None
    if not isinstance(data, Mapping):
        raise InvalidInput(str(path), [Violation(".", "must be a mapping of names to values")])
    return dict(data)


def _fields(section: Section) -> dict[str, tuple[Any, Any]]:
    """Field name → (Typer type, default to show); fields that are no plain values are left to files."""
    result: dict[str, tuple[Any, Any]] = {}
    for cls in section.classes:
        hints = get_type_hints(cls)
        for field in fields(cls):
            kind = _kind(hints[field.name])
            if kind is not None and field.name not in section.leave_out:
                default = None if field.default is MISSING else field.default
                known = result.get(field.name)
                result[field.name] = (kind, default if known is None or known[1] == default else None)
    return result


def _kind(hint: Any) -> Any:
    """The type that Typer parses: plain, a choice (`Literal`), or a list of plain ones; None for anything else."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return hint
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = _kind(arguments[0])
        return types.GenericAlias(list, (inner,)) if inner in PLAIN else None
    if origin in (Union, types.UnionType):
        plain = [_kind(a) for a in arguments if a is not type(None)]
        return plain[0] if len(plain) == 1 else None
    return hint if hint in PLAIN else None


def _parameter(name: str, kind: Any, default: Any, panel: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    if name == "outer_lr":
        names.append("--meta-lr")
    shown = "" if default in (None, "", ()) else f"default {_text(default)}"
    option = typer.Option(*names, help=shown, show_default=False, rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _text(default: Any) -> str:
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
