"""Help that fits a terminal of any width: a name that is too long for its column has a line of its own."""

from typing import Any

from typer.core import TyperCommand


class PlainHelp(TyperCommand):
    """A command whose options stand under the titles of their groups, with names in full."""

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
