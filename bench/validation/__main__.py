"""Reproduce known results: `python -m bench.validation [PART]…` writes bench/results and docs/validation.md."""

import os

from bench.processes import ONE_THREAD

if __name__ == "__main__":  # before numba and torch are imported
    os.environ.update(ONE_THREAD)

import argparse
import importlib
from functools import partial

from rich.console import Console

from bench.validation.results import DOCS, TABLES, refresh


def main() -> int:
    """Run the parts that are asked for, one after the other; all if none is."""
    parser = argparse.ArgumentParser(prog="python -m bench.validation", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(TABLES)}; all if none is named")
    asked = parser.parse_args().parts
    if unknown := set(asked) - set(TABLES):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    console = Console(width=120)
    for name in asked or TABLES:
        importlib.import_module(f"bench.validation.{name}").run(say=partial(console.print, highlight=False))
        refresh()
    console.print(f"written to {DOCS}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
