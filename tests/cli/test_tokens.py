import json
from pathlib import Path

from typer.testing import CliRunner

from services.cli.main import app
from services.common.scopes import Scope
from services.common.tokens import read_tokens


def test_a_new_token_and_its_line_fit_together(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["token", "new", "--name", "alice", "--scope", "run", "--days", "30", "--json"])
    made = json.loads(done.stdout)
    file = tmp_path / "tokens.yaml"
    file.write_text(made["line"])
    found = read_tokens(str(file))(made["token"])
    assert found and (found.name, found.scope) == ("alice", Scope.RUN)
    assert made["token"] not in made["line"]


def test_a_scope_that_does_not_exist_is_refused() -> None:
    assert CliRunner().invoke(app, ["token", "new", "--name", "alice", "--scope", "root"]).exit_code == 2
