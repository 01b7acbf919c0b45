"""`lwmecps`: the command line.

Exit codes: 0 done · 1 a run or a process failed · 2 wrong usage or input · 3 a service can't be reached · 4 a service
refused (not found, wrong state, changed meanwhile, full) · 130 interrupted.
"""

from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from services.cli import (
    acting,
    contexts,
    demo,
    doctor,
    imports,
    policies,
    policy_import,
    run_commands,
    runs,
    tasks,
    tokens,
    up,
)
from services.cli.clients import Addresses, Clients
from services.cli.following import RunFailed
from services.cli.help import PlainHelp
from services.cli.processes import ProcessFailed
from services.cli.render import errors
from services.common.settings import check_address, check_names
from services.common.starting import BAD_INPUT, FAILED, exit_code, lines


class ExplainedErrors(TyperGroup):
    """Turns the errors that commands raise on purpose, and files that can't be used, into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LwmecpsError as error:
            _tell(lines(error))
            raise typer.Exit(exit_code(error)) from None
        except (RunFailed, ProcessFailed) as error:
            _tell([str(error)])
            raise typer.Exit(getattr(error, "exit_code", FAILED)) from None
        except OSError as error:
            if error.filename is None:
                raise
            _tell([f"{error.filename}: {error.strerror}"])
            raise typer.Exit(BAD_INPUT) from None


def _tell(texts: list[str]) -> None:
    for text in texts:
        errors.print(f"[red]{escape(text)}", soft_wrap=True)


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
    check_names()
    for option, address in (("--registry", registry), ("--env", env), ("--learner", learner)):
        try:
            check_address(address)
        except ValueError as error:
            raise InvalidInput("options", [Violation(option, f"{error}: write it as 127.0.0.1:50051")]) from None
    ctx.obj = Clients(Addresses(registry, env, learner))


for part in (up.app, doctor.app, demo.app, run_commands.app, acting.app, runs.app):
    app.registered_commands.extend(part.registered_commands)
policies.app.registered_commands.extend(policy_import.app.registered_commands)
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
