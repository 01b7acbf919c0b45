"""What all commands have in common: help that fits a terminal of any width, and saying what comes from elsewhere."""

import os
from typing import Any

from typer.core import TyperCommand


class PlainHelp(TyperCommand):
    """A command whose options stand under the titles of their groups, with names in full.

    An option that it takes from a variable which others use too (`REDIS_URL`, `KUBECONFIG`) is said on standard error.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        from services.cli.render import tell
        from services.common.settings import without_password

        for param in self.get_params(ctx):
            source = ctx.get_parameter_source(param.name)
            if source is not None and source.name == "ENVIRONMENT" and (value := ctx.params[param.name]):
                names = [param.envvar] if isinstance(param.envvar, str) else param.envvar or ()
                variable = next(name for name in names if os.environ.get(name))
                tell(f"{param.opts[0]} {without_password(str(value))} is taken from {variable}")
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options (Typer's own table cuts names that are longer than a column)."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                title = getattr(param, "rich_help_panel", None)
                fallback = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(title or fallback, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)
