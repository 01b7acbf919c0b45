"""`--profile` of commands that start runs."""

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.processes import free_port


@pytest.mark.parametrize(
    "command",
    [["train"], ["meta-train"], ["transfer", "p"], ["continual", "p"], ["adapt", "p"], ["evaluate", "p"]],
    ids=lambda words: words[0],
)
def test_every_command_that_starts_a_run_has_it_and_refuses_it_where_nobody_waits(command: list[str]) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    words = ["--registry", nowhere, "--learner", nowhere, *command, "--task", "task-1", "--profile", "--detach"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "--profile: is printed when the run has ended" in result.stderr
