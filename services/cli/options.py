"""Command-line options made from configuration classes, so that every setting has its one name everywhere."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from lwmecps_core.config import settings_of
from lwmecps_core.kinds import ALIASES

PLAIN = (int, float, bool, str, Path)
Given = dict[str, dict[str, Any]]
"""Section title → field → value, for the options that were on the command line."""


@dataclass(frozen=True)
class Section:
    """A group of options: the fields of `classes` (fields of the same name are one option), without `leave_out`.

    `notes` are added to what fields say of themselves; `choices` are the values of fields that the library leaves open.
    Fields that are no plain values are left to files.
    """

    title: str
    classes: tuple[type, ...]
    leave_out: frozenset[str] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Option:
    kind: Any
    note: str
    sentences: dict[str, list[str]] = field(default_factory=dict)
    """Sentence → names of the classes where the setting is that."""
    defaults: dict[str, list[str]] = field(default_factory=dict)
    """Default as shown → names of the classes that have it."""


def with_options(*sections: Section) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that takes `given: Given`: Typer then sees an option for every field of the sections.

    A field whose name an earlier section has is left out of later ones.
    """
    owner: dict[str, str] = {}
    parameters: list[inspect.Parameter] = []
    for section in sections:
        for name, option in _options(section).items():
            if name not in owner:
                owner[name] = section.title
                parameters.append(_parameter(name, option, section.title))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "given"]

        def run(**arguments: Any) -> None:
            given: Given = {section.title: {} for section in sections}
            for name, title in owner.items():
                value = arguments.pop(name)
                if value not in (None, []):
                    given[title][name] = value
            command(**arguments, given=given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        signature = inspect.Signature([*own, *parameters])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return run

    return decorate


def by_known_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from a file under the names of their fields."""
    return {ALIASES.get(name, name): value for name, value in settings.items()}


def _options(section: Section) -> dict[str, _Option]:
    result: dict[str, _Option] = {}
    for cls in section.classes:
        hints = get_type_hints(cls, include_extras=True)
        for setting in settings_of(cls):
            choices = section.choices.get(setting.name)
            kind = Literal[choices] if choices else _kind(hints[setting.name])
            if kind is None or setting.name in section.leave_out:
                continue
            known = result.setdefault(setting.name, _Option(kind, section.notes.get(setting.name, "")))
            if get_origin(kind) is Literal is get_origin(known.kind):
                known = result[setting.name] = replace(known, kind=_either(known.kind, kind))
            owner = getattr(cls, "name", cls.__name__)
            shown = "" if setting.default == "false" else setting.default
            known.sentences.setdefault(setting.sentence.rstrip("."), []).append(owner)
            known.defaults.setdefault(shown, []).append(owner)
    return result


def _either(a: Any, b: Any) -> Any:
    """The choices of both, each once."""
    return Literal[tuple(dict.fromkeys((*get_args(a), *get_args(b))))]


def _kind(hint: Any) -> Any:
    """The type that Typer parses: plain, a choice (`Literal`), or a list of these; None for anything else."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return hint
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = str if get_origin(arguments[0]) is Literal else _kind(arguments[0])  # Typer has no lists of choices
        return types.GenericAlias(list, (inner,)) if inner in PLAIN else None
    if origin in (Union, types.UnionType):
        plain = [_kind(a) for a in arguments if a is not type(None)]
        return plain[0] if len(plain) == 1 else None
    if hint is bytes:  # what is in a file
        return Path
    return hint if hint in PLAIN else None


def _parameter(name: str, option: _Option, panel: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}"] if option.kind is bool else [flag]
    names += ["--" + alias.replace("_", "-") for alias, known in ALIASES.items() if known == name]
    parameter = typer.Option(*names, help=_help(option), show_default=False, rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[option.kind | None, parameter]
    )


def _help(option: _Option) -> str:
    """What the option is for, that it may come more than once, and its default: the one of all classes, or each class's
    own where they disagree.
    """
    defaults = _by_owner(option.defaults)
    repeated = get_origin(option.kind) is list and not any("repeated" in text for text in option.sentences)
    many = "once for each" if repeated else ""
    texts = (_by_owner(option.sentences), many, option.note, defaults and f"default {defaults}")
    return "; ".join(text for text in texts if text)


def _by_owner(texts: Mapping[str, Sequence[str]]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    return ", ".join(f"{text} ({', '.join(owners)})" for text, owners in texts.items() if text)
