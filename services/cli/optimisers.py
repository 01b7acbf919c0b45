"""`lwmecps optimiser`: optimisers that are learnt, as files for `adapt --optimiser`."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli import render
from services.cli.places import InFile

app = typer.Typer(help="Learn optimisers for `adapt --optimiser`.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Learn optimisers for `adapt --optimiser`."""


@app.command()
def learn(
    file: Annotated[Path, typer.Argument(help="File to write, for `adapt --optimiser`.")],
    steps: Annotated[
        int, typer.Option(min=0, max=100_000, help="Steps of learning; with none it is Adam at the first rate.")
    ] = 600,
    first_rate: Annotated[
        float, typer.Option(min=1e-9, max=1.0, help="Step size of Adam that learning starts from.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Learn on this machine, from sinusoids, an optimiser that starts as Adam."""
    # PyTorch takes long to import.
    from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, to_bytes
    from lwmecps_core.training.learnt_optimiser import learn as learnt

    place = InFile(file)
    content = to_bytes(learnt(OptimiserConfig(steps=steps, first_rate=first_rate), seed))
    place.write(content)
    render.console.print(f"{file}  {len(content):,} bytes", highlight=False, markup=False)
