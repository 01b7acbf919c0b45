"""`python -m scripts.kube up|down|build`: a control plane on loopback for kubectl, demos and tests."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from .binaries import find_binaries
from .control_plane import ControlPlane, stop_all
from .nodes import named_nodes

DEFAULT_STATE = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lwmecps" / "kube"

# From this many nodes on, heartbeats come as seldom as in a real cluster.
LARGE = 100
SMALL_GRACE_S, LARGE_GRACE_S = 8.0, 40.0


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kube", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start it; prints the line that points kubectl to it")
    up.add_argument("--nodes", default="4", metavar="N|FILE", help="how many fake nodes, or a YAML list of them")
    up.add_argument("--build", action="store_true", help="build the servers from Debian's source if there are none")
    down = commands.add_parser("down", help="stop it")
    down.add_argument("--after-stdin", action="store_true", help="when standard input ends; deletes the state")
    for command in (up, down):
        command.add_argument("--state", type=Path, default=DEFAULT_STATE, help="default: %(default)s")
    commands.add_parser("build", help="build the servers from Debian's source package, once")
    options = parser.parse_args()
    try:
        _do(options)
    except (RuntimeError, OSError, ValueError) as error:
        sys.exit(f"kube {options.command}: {error}")


def _do(options: argparse.Namespace) -> None:
    if options.command == "up":
        _up(options.state, options.nodes, options.build)
    elif options.command == "down":
        if options.after_stdin:
            sys.stdin.read()
        print(f"stopped: {', '.join(stop_all(options.state)) or 'nothing was running'}")
        if options.after_stdin:
            shutil.rmtree(options.state, ignore_errors=True)
    else:
        print(find_binaries(build=True).folder)


def _up(state: Path, nodes: str, build: bool) -> None:
    wanted = named_nodes(int(nodes) if nodes.isdigit() else Path(nodes))
    grace_s = LARGE_GRACE_S if len(wanted) > LARGE else SMALL_GRACE_S
    cluster = ControlPlane(state, find_binaries(build), node_grace_s=grace_s)
    try:
        cluster.up(wanted)
    except BaseException:
        cluster.down()
        raise
    print(f"export KUBECONFIG={cluster.kubeconfig}")


if __name__ == "__main__":
    main()
