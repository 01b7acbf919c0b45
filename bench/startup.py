"""How long the command line takes to say something: `lwmecps --help`, and all of its commands."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence

from bench.processes import ROOT
from bench.report import BenchRow
from bench.timing import interleave
from services.cli.main import PARTS
from services.common.codes import UNREACHABLE

ROUNDS = 7
HELP_S, COMMAND_S = 0.5, 1.0
ASKING = ("task list", "runs", "policies list", "context list", "doctor", "report run-0")
"""Commands that get as far as asking a service; there is none, which they say and end with `UNREACHABLE`."""
NOWHERE = {f"LWMECPS_CLI_{name}": "127.0.0.1:1" for name in ("REGISTRY", "ENV", "LEARNER")}


def run() -> BenchRow:
    cli = ["-m", "services.cli.main"]
    pair = interleave(lambda: cpu_s([*cli, "--help"]), lambda: cpu_s(["-c", "pass"]), rounds=ROUNDS)
    commands = {f"{name} --help": cpu_s([*cli, name, "--help"]) for name in PARTS}
    commands |= {name: cpu_s([*cli, *name.split()], UNREACHABLE) for name in ASKING}
    worst = max(commands, key=lambda name: commands[name])
    return BenchRow(
        name="startup",
        value=pair.measured,
        unit="s",
        ratio=pair.ratio,
        against="python -c pass",
        floor=f"<= {HELP_S} s, every command <= {COMMAND_S} s",
        met=pair.measured <= HELP_S and commands[worst] <= COMMAND_S,
        detail={**pair.detail(), "commands_s": commands, "slowest": worst},
    )


def cpu_s(arguments: Sequence[str], code: int = 0) -> float:
    """Processor time of an interpreter with these arguments, from its start to its end with this exit code."""
    before = _children_s()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | NOWHERE, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
