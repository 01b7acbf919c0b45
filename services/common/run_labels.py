"""Labels of runs that mean something to the services."""

from collections.abc import Mapping

PROFILE = "lwmecps/profile"
"""Whoever works on the run writes down where its time goes, whatever the value."""
SWEEP, SWEEP_RUN = "wandb/sweep", "wandb/run"
"""The W&B sweep that a run belongs to, and its id there."""


def of_sweep(environ: Mapping[str, str]) -> dict[str, str]:
    """The labels of a run that `wandb agent` asks for: what the agent tells its commands."""
    sweep, run = environ.get("WANDB_SWEEP_ID", ""), environ.get("WANDB_RUN_ID", "")
    return {SWEEP: sweep, SWEEP_RUN: run} if sweep and run else {}
