"""`lwmecps token new`: bearer tokens for the services."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from services.cli import render
from services.cli.json_option import Json
from services.common.tokens import ScopeName, new_entry

app = typer.Typer(help="Make bearer tokens for the services.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `new` a command of its own (Typer would make the only one the group itself)."""


@app.command()
def new(
    name: Annotated[str, typer.Option(help="Whose it is; the services' logs say so.")],
    scope: Annotated[ScopeName, typer.Option(help="What it allows; each includes the ones before it.")] = "read",
    days: Annotated[int, typer.Option(help="How long it holds; 0: for ever.", min=0, max=3650)] = 0,
    as_json: Json = False,
) -> None:
    """Make a token: shown here once, and the line that lets it in, for the services' tokens file."""
    token, line = new_entry(name, scope, datetime.now(UTC) + timedelta(days=days) if days else None)
    if as_json:
        render.print_json({"token": token, "line": line})
        return
    render.errors.print("the token, which is kept nowhere, and its line for the tokens file:", highlight=False)
    print(token)
    print(line)
