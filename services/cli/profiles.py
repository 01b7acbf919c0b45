"""`--profile` of commands that start runs: where the learner's time went."""

from pathlib import Path
from typing import Any

from lwmecps_core.errors import InvalidInput, NotFound, Violation
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from services.cli import render
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.common.run_labels import PROFILE


def ask(request: Any, detach: bool) -> None:
    """Have the run that a `Start…Request` asks for profiled; raises `InvalidInput` where nobody waits for it."""
    if detach:
        raise InvalidInput("options", [Violation("--profile", "is printed when the run has ended: leave out --detach")])
    request.labels[PROFILE] = "cprofile"


def tell(clients: Clients, run_id: str) -> None:
    """Write a run's profile to the working folder, and print its dearest functions to standard error."""
    try:
        found = clients.learner("GetProfile", pb.GetProfileRequest(run_id=run_id))
    except NotFound:
        text = f"{clients.addresses.learner} has no profile of {run_id}: another learner worked on it, or none did"
        render.errors.print(text, highlight=False, markup=False)
        return
    path = Path(f"{run_id}.prof")
    write_whole(path, found.content)
    lines = [(x.function, f"{x.calls:,}", f"{x.own_s:.3f}", f"{x.total_s:.3f}") for x in found.lines]
    table = render.table(
        f"where the learner's time went ({path})", ("function", "calls", "own s", "with calls s"), lines
    )
    render.errors.print(table, highlight=False, markup=False)
