"""What the contracts say of themselves: the comments in the `.proto` files, by full name."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import protos

ROOT = Path(protos.__file__).resolve().parent
OPENS = re.compile(r"^(message|enum|service|oneof|rpc)\s+(\w+)|^(?:(?:optional|repeated)\s+)?[\w.<>, ]+\s+(\w+)\s*=")
NAMED = ("message", "service", "enum")


@cache
def comments() -> Mapping[str, str]:
    """Full name of a message, field, enum value, service or call → the comment before it, in one line."""
    found: dict[str, str] = {}
    for path in sorted(ROOT.rglob("*.proto")):
        found |= _of_file(path.read_text(encoding="utf-8").splitlines())
    return found


def _of_file(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    package, said, inside = "", [], list[tuple[str, str]]()
    for line in map(str.strip, lines):
        if line.startswith("//"):
            said.append(line.removeprefix("//").strip())
            continue
        if line.startswith("package "):
            package = line.removeprefix("package ").rstrip(";")
        opened = OPENS.match(line)
        name = (opened.group(2) or opened.group(3)) if opened else None
        if opened and name and not line.startswith(("option ", "import ", "syntax ", "package ")):
            scopes = [one for kind, one in inside if kind in NAMED]
            found[".".join([package, *scopes, name])] = " ".join(said)
        said = []
        # A brace that opens and closes on one line is no scope of anything.
        code = re.sub(r'"[^"]*"', "", line)
        for brace in re.findall(r"[{}]", code):
            if brace == "{":
                inside.append(((opened.group(1) or "") if opened else "", name or ""))
            elif inside:
                inside.pop()
    return found
