"""`python scripts/explain_settings.py`: write what settings say of themselves into the contract and into docs/cli.md.

Sentences, bounds and defaults stand in the config classes. The comments of the messages of the same names, and the
tables between the markers of the page, are made from them here; a test fails while either differs from that. The names
of backends are the contract's, so what is generated from it comes first.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from lwmecps_core.config import Setting, settings_of
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import META_LEARNERS, AdaptConfig, EvaluateConfig, MetaConfig, TrainConfig, TransferConfig
from services.cli.run_commands import ADAPTATION, RunOptions

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "protos/lwmecps/common/v1/settings.proto"
PAGE = ROOT / "docs/cli.md"
WIDTH = 120

TABLES: Mapping[str, type] = {
    "Every run": RunOptions,
    "`train`": TrainConfig,
    "`meta-train`": MetaConfig,
    **{f"`meta-train --method {name}`": cls for name, cls in META_LEARNERS.items()},
    "`transfer`": TransferConfig,
    "`continual`": ContinualConfig,
    "`adapt`": AdaptConfig,
    "`evaluate`": EvaluateConfig,
    **{f"`--algorithm {name}`": cls for name, cls in ALGORITHMS.items()},
}
"""Title → the class that the table below it is made of."""
NOT_SETTINGS = {"name"}
"""Says which class of a union something is: the choice itself."""

_MESSAGE = re.compile(r"^message (\w+) \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(?:^  //.*\n)*(^  (?:optional |repeated )?(\w+) (\w+) = \d+)", re.MULTILINE)
_TABLES = re.compile(r"(?<=<!-- settings -->\n).*(?=<!-- end of settings -->)", re.DOTALL)


def settings(cls: Any) -> list[Setting]:
    """The settings of a class that people set by name."""
    return [setting for setting in settings_of(cls) if setting.name not in NOT_SETTINGS]


def contract(text: str, classes: Iterable[type]) -> str:
    """The contract's text with the comments of the fields of `classes` as they should be."""
    by_message = {cls.__name__: {setting.name: setting for setting in settings(cls)} for cls in classes}

    def commented(message: re.Match[str]) -> str:
        known = by_message.get(message[1], {})
        return _FIELD.sub(lambda field: _comment(known, field) + field[1], message[0])

    return _MESSAGE.sub(commented, text)


def page(text: str, tables: Mapping[str, type]) -> str:
    """The page's text with its tables as they should be."""
    return _TABLES.sub(
        lambda _: "".join(_table(title, cls) for title, cls in tables.items() if settings(cls)) + "\n", text
    )


def _comment(known: Mapping[str, Setting], field: re.Match[str]) -> str:
    if field[3] not in known:
        return field[0].removesuffix(field[1])
    setting = known[field[3]]
    default = setting.default or ("none" if field[2] == "string" else "")
    if default and field[2][0].isupper():  # an enum: its values are named after it
        default = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field[2]).upper() + f"_{default.upper()}"
    bounds = setting.bounds if setting.bounds.startswith("each") else f"value {setting.bounds}"
    facts = "; ".join([bounds] * bool(setting.bounds) + [f"default {default}"] * bool(default))
    text = f"{setting.sentence} {facts[:1].upper()}{facts[1:]}{'.' * bool(facts)}".strip()
    return "".join(f"  // {line}\n" for line in wrap(text, WIDTH - len("  // "), break_on_hyphens=False))


def _choices(setting: Setting) -> tuple[str, ...]:
    """What a setting may be: what its class says, or, where that leaves it open, what the command line offers."""
    return setting.choices or ADAPTATION.choices.get(setting.name, ())


def _table(title: str, cls: Any) -> str:
    rows = ["| setting | what it is | values | default |", "| --- | --- | --- | --- |"]
    for setting in settings(cls):
        values = ", ".join(f"`{name}`" for name in _choices(setting)) or setting.bounds
        cells = (f"`{setting.name}`", setting.sentence.removesuffix("."), values, setting.default)
        rows.append(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|")
    return f"\n**{title}**\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    """Write both files."""
    CONTRACT.write_text(contract(CONTRACT.read_text(), TABLES.values()))
    PAGE.write_text(page(PAGE.read_text(), TABLES))


if __name__ == "__main__":
    main()
