#!/usr/bin/env bash
# Guess:   Typer takes Literal["a", "b"] and list[str] as options, so it takes list[Literal["a", "b"]] too.
# Really:  (typer 0.29.2) the command is refused when the application is built, by an AssertionError about complex
#          sub-types; list[Enum] with the same choices works and refuses other words by name.
# Matters: options made from typed settings (a tuple of Literals) end every command of a program, its --help included, not
#          only the one that has the option. Such a list has to go through as text, and be checked afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'typer==0.29.2'
cat > "$folder/choices.py" <<'PY'
from enum import Enum
from importlib.metadata import version
from typing import Literal

import typer
from typer.testing import CliRunner


class Block(str, Enum):
    node = "node"
    pair = "pair"


def outcome(kind, arguments):
    app = typer.Typer()

    def command(ignore: kind = None) -> None:
        print(ignore)

    app.command()(command)
    try:
        result = CliRunner().invoke(app, arguments)
    except AssertionError as error:
        return f"AssertionError: {error}"
    return f"exit code {result.exit_code}"


print("typer", version("typer"))
found = {
    "one choice": outcome(Literal["node", "pair"], ["--ignore", "node"]),
    "list of text": outcome(list[str], ["--ignore", "node", "--ignore", "pair"]),
    "list of an Enum": outcome(list[Block], ["--ignore", "node", "--ignore", "pair"]),
    "list of an Enum, another word": outcome(list[Block], ["--ignore", "edge"]),
    "list of choices": outcome(list[Literal["node", "pair"]], ["--ignore", "node"]),
    "list of choices, --help": outcome(list[Literal["node", "pair"]], ["--help"]),
}
for what, came in found.items():
    print(f"{what}: {came}")
assert [came.split(":")[0] for came in found.values()] == [
    "exit code 0",
    "exit code 0",
    "exit code 0",
    "exit code 2",
    "AssertionError",
    "AssertionError",
], "the behaviour has changed"
PY
"$folder/venv/bin/python" "$folder/choices.py"
