"""What `lwmecps transfer` asks the learner for."""

from typing import Any

from typer.testing import CliRunner

from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from services.cli.run_commands import app


class Asked:
    """Clients of services that keep what they are asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def learner(self, rpc: str, request: Any) -> pb.StartTransferResponse:
        self.calls.append((rpc, request))
        return pb.StartTransferResponse()


def test_source_tasks_and_the_type_of_transfer_reach_the_learner() -> None:
    clients = Asked()
    line = "transfer p1 --task t1 --task t2 --source-task s1 --source-task s2 --method domain_adaptation --detach"
    result = CliRunner().invoke(app, line.split(), obj=clients)
    assert result.exit_code == 0, result.output
    ((rpc, request),) = clients.calls
    assert (rpc, request.policy_id) == ("StartTransfer", "p1")
    assert (list(request.task_ids), list(request.source_task_ids)) == (["t1", "t2"], ["s1", "s2"])
    assert request.settings.method == settings_pb2.TRANSFER_METHOD_DOMAIN_ADAPTATION
