"""`lwmecps`: the command line.

Exit codes: 0 done · 1 a run or a process failed · 2 wrong usage or input · 3 a service can't be reached · 4 a service
refused (not found, wrong state, changed meanwhile, full) · 130 interrupted.
"""

from collections.abc import Mapping
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from services.cli.clients import Addresses, Clients
from services.cli.ending import CommandFailed
from services.cli.lazy import LazyCommands, LazyPart
from services.common.codes import BAD_INPUT, exit_code, lines

PARTS: Mapping[str, LazyPart] = {
    "up": LazyPart(
        "services.cli.up", "Start Redis, the three services and the gateway in this terminal; ctrl-C drains them."
    ),
    "doctor": LazyPart(
        "services.cli.doctor",
        "Check services, dependencies, gateway, workers, waiting runs, clocks, versions, Redis, and say what to do.",
    ),
    "demo": LazyPart(
        "services.cli.demo",
        "Start the system, train, act on clusters never seen, adapt in 5 gradient steps, and print the comparison.",
    ),
    "train": LazyPart(
        "services.cli.run_commands", "Train one policy from nothing, on one task or on many (multi-task)."
    ),
    "meta-train": LazyPart(
        "services.cli.run_commands", "Meta-train a policy that adapts to a new task within a few gradient steps."
    ),
    "transfer": LazyPart("services.cli.run_commands", "Go on training a stored policy on other tasks."),
    "continual": LazyPart(
        "services.cli.run_commands",
        "Go on training a stored policy on clusters one after another, and measure it on all after each.",
    ),
    "adapt": LazyPart(
        "services.cli.run_commands",
        "Adapt a stored policy to every given task by inner steps, and measure it before and after each.",
    ),
    "evaluate": LazyPart("services.cli.run_commands", "Measure a stored policy, or a baseline, on every given task."),
    "act": LazyPart(
        "services.cli.acting",
        "Choose placements with a stored policy: for given observations, or step by step on a task.",
    ),
    "runs": LazyPart(
        "services.cli.runs",
        "List runs, newest first; or delete runs, or export their results.",
        group=True,
        app="group",
    ),
    "watch": LazyPart(
        "services.cli.runs", "Follow a run until it ends: a live progress bar and its newest metrics, then its results."
    ),
    "pause": LazyPart("services.cli.runs", "Ask a run to pause; its state is kept."),
    "resume": LazyPart("services.cli.runs", "Let a paused run go on."),
    "cancel": LazyPart("services.cli.runs", "Ask a run to end."),
    "plot": LazyPart(
        "services.cli.exports",
        "Draw what runs have measured, as PNG and SVG: metrics by step, rewards, adaptation, streams of clusters.",
    ),
    "report": LazyPart(
        "services.cli.exports",
        "Write one HTML file about runs: settings, results with intervals, pictures; it needs nothing beside it.",
    ),
    "task": LazyPart("services.cli.tasks", "Register tasks and task distributions, and look at them.", group=True),
    "import": LazyPart(
        "services.cli.imports",
        "Make tasks of what others publish or measured: load, places and links, clusters.",
        group=True,
    ),
    "policies": LazyPart("services.cli.policies", "List, import, export and delete stored policies.", group=True),
    "context": LazyPart("services.cli.contexts", "Show, save and load what policies remember of clusters.", group=True),
    "population": LazyPart(
        "services.cli.population",
        "Train a population whose best members pass weights and settings on; the same again goes on where it was.",
    ),
    "propose": LazyPart(
        "services.cli.proposing",
        "Propose settings for training on tasks that are new, from what past trainings on other families reached.",
    ),
    "optimiser": LazyPart("services.cli.optimisers", "Learn optimisers for `adapt --optimiser`.", group=True),
    "backup": LazyPart(
        "services.cli.backups", "Write everything that the registry keeps to one file, while others go on writing."
    ),
    "restore": LazyPart("services.cli.backups", "Put a backup back into the registry, all of it or nothing."),
    "token": LazyPart("services.cli.tokens", "Make bearer tokens for the services.", group=True),
}
"""Every command, in the order of the help. The modules are imported when they are called; a test holds the sentences
against what the commands say of themselves.
"""


class ExplainedErrors(TyperGroup):
    """Turns the errors that commands raise on purpose, and files that can't be used, into one line and an exit code.

    Its commands are those of `PARTS`, none of which is imported for the help.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands: Any = LazyCommands(PARTS)

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the help."""
        return list(PARTS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, part.sentence) for name, part in PARTS.items()])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LwmecpsError as error:
            _tell(lines(error))
            raise typer.Exit(exit_code(error)) from None
        except CommandFailed as error:
            _tell([str(error)])
            raise typer.Exit(error.exit_code) from None
        except UnicodeEncodeError:
            _tell(["an argument or a variable is no UTF-8 text, and can't be sent"])
            raise typer.Exit(BAD_INPUT) from None
        except OSError as error:
            if error.filename is None and error.errno not in (ENOSPC, EDQUOT, EFBIG, EIO):
                raise
            _tell([f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)])
            raise typer.Exit(BAD_INPUT) from None


def _tell(texts: list[str]) -> None:
    from rich.markup import escape

    from services.cli.render import errors

    for text in texts:
        errors.print(f"[red]{escape(text)}", soft_wrap=True)


app = typer.Typer(
    cls=ExplainedErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 unreachable, 4 refused, 130 interrupted.",
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"lwmecps {version('lwmecps')}")
        raise typer.Exit


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
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Meta-learnt placement and scaling of services on edge clusters."""
    from services.common import tracing
    from services.common.settings import check_address, check_names

    check_names()
    for option, address in (("--registry", registry), ("--env", env), ("--learner", learner)):
        try:
            check_address(address)
        except ValueError as error:
            raise InvalidInput("options", [Violation(option, f"{error}: write it as 127.0.0.1:50051")]) from None
    ctx.obj = Clients(Addresses(registry, env, learner))
    if tracing.wanted() and ctx.invoked_subcommand != "up":  # whose processes trace themselves
        tracing.begin("lwmecps")
        ctx.with_resource(tracing.span(f"lwmecps {ctx.invoked_subcommand}"))


if __name__ == "__main__":
    app()
