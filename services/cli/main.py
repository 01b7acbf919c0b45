"""`lwmecps`: the command line.

Exit codes: 0 done · 1 a run or a process failed · 2 wrong usage or input · 3 a service can't be reached · 4 a service
refused (not found, wrong state, changed meanwhile, full) · 130 interrupted.
"""

from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from lwmecps_core.errors import InvalidInput, LwmecpsError, QueueUnavailable, ServiceUnavailable
from services.cli import acting, contexts, demo, imports, policies, run_commands, runs, tasks, tokens, up
from services.cli.clients import Addresses, Clients
from services.cli.following import RunFailed
from services.cli.help import PlainHelp
from services.cli.processes import ProcessFailed
from services.cli.render import errors

FAILED, BAD_INPUT, UNREACHABLE, REFUSED = 1, 2, 3, 4


class ExplainedErrors(TyperGroup):
    """Turns the errors that commands raise on purpose into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InvalidInput as error:
            for violation in error.violations:
                errors.print(f"[red]{escape(f'{error.source}: {violation.field}: {violation.reason}')}", soft_wrap=True)
            raise typer.Exit(BAD_INPUT) from None
        except (LwmecpsError, RunFailed, ProcessFailed) as error:
            errors.print(f"[red]{escape(str(error))}", soft_wrap=True)
            raise typer.Exit(_code(error)) from None


def _code(error: Exception) -> int:
    if isinstance(error, RunFailed | ProcessFailed):
        return FAILED
    return UNREACHABLE if isinstance(error, ServiceUnavailable | QueueUnavailable) else REFUSED


app = typer.Typer(
    cls=ExplainedErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 unreachable, 4 refused, 130 interrupted.",
)


@app.callback()
def root(
    ctx: typer.Context,
    registry: Annotated[
        str, typer.Option(envvar="LWMECPS_CLI_REGISTRY", help="host:port of the task-registry.")
    ] = Addresses.registry,
    env: Annotated[str, typer.Option(envvar="LWMECPS_CLI_ENV", help="host:port of the env-service.")] = Addresses.env,
    learner: Annotated[
        str, typer.Option(envvar="LWMECPS_CLI_LEARNER", help="host:port of a learner-service.")
    ] = Addresses.learner,
) -> None:
    """Meta-learnt placement and scaling of services on edge clusters."""
    ctx.obj = Clients(Addresses(registry, env, learner))


for part in (up.app, demo.app, run_commands.app, acting.app, runs.app):
    app.registered_commands.extend(part.registered_commands)
app.add_typer(tasks.app, name="task")
app.add_typer(imports.app, name="import")
app.add_typer(policies.app, name="policies")
app.add_typer(contexts.app, name="context")
app.add_typer(tokens.app, name="token")
for part in (app, tasks.app, imports.app, policies.app, contexts.app, tokens.app):
    for command in part.registered_commands:
        command.cls = PlainHelp

if __name__ == "__main__":
    app()
