import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.clients import Addresses
from services.cli.local import SystemPlan, commands
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


@pytest.mark.e2e
def test_up_lets_nobody_in_from_elsewhere_unless_it_is_told_to(tmp_path: Path) -> None:
    ports = ["--registry-port", "0", "--env-port", "0", "--learner-port", "0", "--gateway-port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "up", "--host", "0.0.0.0", "--state", str(tmp_path), *ports],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 2
    assert "options: --host: 0.0.0.0 can be reached from elsewhere" in done.stderr and "--insecure" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_up_tells_every_service_where_to_listen(tmp_path: Path) -> None:
    plan = SystemPlan(tmp_path, host="0.0.0.0", insecure=True, learners=2, gateway_port=0)
    for name, (_, env) in commands(plan, Addresses(), "redis://x").items():
        prefix = f"LWMECPS_{name.partition('-')[0].upper()}_"
        assert (env[f"{prefix}HOST"], env[f"{prefix}INSECURE"]) == ("0.0.0.0", "true")
    for _, env in commands(SystemPlan(tmp_path), Addresses(), "redis://x").values():
        assert not [name for name in env if name.endswith("INSECURE")]
