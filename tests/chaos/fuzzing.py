"""Hostile requests against the three services as processes, and what they must still do."""

import hashlib
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import policy_pb2, registry_pb2
from services.common import convert
from services.common.client import connect
from tests.chaos.messages import Maker, request_class
from tests.chaos.scenario import CITY, meta
from tests.chaos.system import System

SERVICES = {
    "registry": registry_pb2.DESCRIPTOR.services_by_name["TaskRegistryService"],
    "env": env_pb2.DESCRIPTOR.services_by_name["EnvService"],
    "learner": learner_pb2.DESCRIPTOR.services_by_name["LearnerService"],
}
METHODS = [(name, method) for name, service in SERVICES.items() for method in service.methods]
FORBIDDEN = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
}
NO_WORK = {"LWMECPS_ENV_COLLECTION_WORKERS": "0", "LWMECPS_LEARNER_SLOTS": "0"}
"""Environment of services that are only talked to."""
ENDLESS = {"WatchRun", "WatchProgress"}
"""Streams that last until the run ends: they are left after a moment."""
CALL_S = 20.0
AT_ONCE = 4
"""Methods that are called side by side."""
FILE = bytes(range(256)) * 16
"""What an upload carries."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class Report:
    """Answers by method and code, and what must not have happened."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Target:
    """The services under fire: channels, names of things that exist, and a good request for most methods."""

    def __init__(self, system: System, seed: int) -> None:
        self.system, self.seed = system, seed
        self.channels = {name: connect(address) for name, address in vars(system.addresses).items()}
        clients = system.clients
        spec = convert.task_to_message(_small_task())
        self.task_id = str(clients.registry("CreateTask", registry_pb2.CreateTaskRequest(spec=spec)).task.id)
        start = learner_pb2.StartMetaTrainingRequest(task_ids=[self.task_id])
        start.settings.CopyFrom(convert.to_message(meta(3), type(start.settings)))
        claim = registry_pb2.ClaimRunRequest(learner_id="me", lease_duration=Duration(seconds=3600))
        runs = []
        for _ in range(2):
            runs.append(clients.learner("StartMetaTraining", start).run)
            clients.registry("ClaimRun", claim)
        run, own_run = runs  # no request but uploads of checkpoints reaches the second one, which so stays claimed
        create = env_pb2.CreateSessionRequest(task=spec, num_envs=1)
        session = clients.env("CreateSession", create)
        policy = registry_pb2.CreatePolicyRequest(name="p", env_spec=session.env_spec, algorithm=run.spec.algorithm)
        policy.algorithm.ppo.SetInParent()
        # As for runs: none but uploads of weights reaches the second one, which so is never deleted.
        policy_id, own_policy_id = (clients.registry("CreatePolicy", policy).policy.id for _ in range(2))
        distribution = convert.distribution_to_message(CITY)
        self.good: dict[str, Message] = {
            "CreateTask": registry_pb2.CreateTaskRequest(spec=spec, name="t"),
            "GetTask": registry_pb2.GetTaskRequest(task_id=self.task_id),
            "CreateRun": registry_pb2.CreateRunRequest(spec=run.spec),
            "ListTasks": registry_pb2.ListTasksRequest(page_size=2),
            "ReportRun": registry_pb2.ReportRunRequest(run_id=run.id, token=1),
            "CreatePolicy": policy,
            "CreateSession": create,
            "StartMetaTraining": start,
            "StartTraining": learner_pb2.StartTrainingRequest(task_ids=[self.task_id]),
            "UploadCheckpoint": registry_pb2.UploadCheckpointRequest(
                header=registry_pb2.CheckpointHeader(run_id=own_run.id, token=1, artefact=_artefact(FILE))
            ),
            "UploadPolicyWeights": registry_pb2.UploadPolicyWeightsRequest(
                header=registry_pb2.PolicyWeightsHeader(policy_id=own_policy_id, artefact=_artefact(FILE))
            ),
            "StepSession": env_pb2.StepSessionRequest(session_id=session.session_id),
            "StepStream": env_pb2.StepStreamRequest(session_id=session.session_id),
            "ApplyPlacement": env_pb2.ApplyPlacementRequest(session_id=session.session_id),
        }
        self.uploads: dict[str, Any] = {name: self.good[name] for name in ("UploadCheckpoint", "UploadPolicyWeights")}
        self.good["CreateTask distribution"] = registry_pb2.CreateTaskRequest(distribution=distribution)
        self.ids = (self.task_id, str(run.id), str(policy_id), str(session.session_id))

    def close(self) -> None:
        for channel in self.channels.values():
            channel.close()

    def memory_mib(self) -> dict[str, float]:
        """Resident memory of every service."""
        found = {}
        for name in SERVICES:
            process = self.system.services[name].process
            assert process is not None and process.poll() is None, f"{name} has ended"
            found[name] = psutil.Process(process.pid).memory_info().rss / 2**20
        return found

    def still_works(self, service: str) -> None:
        """A correct request is answered correctly."""
        clients = self.system.clients
        if service == "registry":
            answer = clients.registry("GetTask", registry_pb2.GetTaskRequest(task_id=self.task_id))
            assert answer.task.id == self.task_id
        elif service == "env":
            assert clients.env("ListEnvironments", env_pb2.ListEnvironmentsRequest()).environments
        else:
            listed = clients.registry("ListRuns", registry_pb2.ListRunsRequest(page_size=1)).runs
            wanted = learner_pb2.GetResultsRequest(run_id=listed[0].id)
            assert clients.learner("GetResults", wanted).run.id == listed[0].id

    def fuzz(self, service: str, method: Any, count: int) -> Report:
        """`count` requests of one method; every answer must be a refusal that names a reason, or a success."""
        rng, report = random.Random(f"{self.seed}-{method.full_name}"), Report()
        for number in range(count):
            requests = self.requests(method, rng)
            code, wrong = self.ask(service, method, requests)
            report.answers[method.name, code.name] += 1
            if wrong:
                report.wrong.append(f"{method.name} #{number}: {wrong} for {str(requests[0])[:600]!r}")
                if len(report.wrong) > 5:
                    break
        return report

    def requests(self, method: Any, rng: random.Random) -> list[bytes]:
        """One hostile call of a method: the messages that it sends, where it takes one only the first of them."""
        maker = Maker(rng, self.ids)
        if method.name in self.uploads and rng.random() < 0.5:
            return _lying_upload(self.uploads[method.name], rng)
        templates = [good for name, good in self.good.items() if name.split()[0] == method.name]
        return [self._request(maker, method, templates) for _ in range(rng.choice((1, 1, 2, 4)))]

    def ask(self, service: str, method: Any, requests: list[bytes]) -> tuple[grpc.StatusCode, str]:
        """The code of the answer, and what is wrong about it (empty: nothing)."""
        code, text = _outcome(_callable(self.channels[service], method), requests, method)
        late = code is grpc.StatusCode.DEADLINE_EXCEEDED and method.name not in ENDLESS
        return code, f"{code.name} {text[:200]}" if code in FORBIDDEN or late else ""

    def _request(self, maker: Maker, method: Any, templates: list[Message]) -> bytes:
        if maker.rng.random() < 0.05:
            return maker.rng.randbytes(maker.rng.choice((1, 7, 100, 3000)))
        if templates and maker.rng.random() < 0.7:
            made = maker.mutated(maker.rng.choice(templates))
        else:
            made = maker.random(request_class(method)())
        data = made.SerializeToString()
        if maker.rng.random() < 0.05:
            return data[: maker.rng.randrange(len(data) + 1)]
        return data


def throw_bytes(address: str, seed: int, count: int) -> None:
    """Random bytes, broken frames and connections that stop in the middle, at a server's port."""
    host, port = address.rsplit(":", 1)
    rng = random.Random(f"{seed}-{address}")
    settings = b"\0\0\0\4\0\0\0\0\0"
    for _ in range(count):
        body = rng.choice(
            (
                rng.randbytes(rng.choice((1, 50, 5000))),
                PREFACE + rng.randbytes(300),
                PREFACE + settings + b"\xff\xff\xff\0\1\0\0\0\1" + rng.randbytes(2000),  # a frame of 16 MiB, cut short
                PREFACE + settings + b"\0\0\x20\1\4\0\0\0\1" + rng.randbytes(32),  # headers that are none
                PREFACE + settings + b"\0\0\5",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            )
        )
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.settimeout(0.02)
            connection.sendall(body)
            with suppress(OSError):
                connection.recv(4096)


def _callable(channel: grpc.Channel, method: Any) -> Any:
    """A call that sends and returns bytes as they are."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary"}
    kind = kinds.get((method.client_streaming, method.server_streaming), "stream_stream")
    return getattr(channel, kind)(path, request_serializer=None, response_deserializer=None)


def _outcome(call: Any, requests: list[bytes], method: Any) -> tuple[grpc.StatusCode, str]:
    sent: bytes | Iterator[bytes] = iter(requests) if method.client_streaming else requests[0]
    try:
        if method.server_streaming:
            for _ in call(sent, timeout=0.05 if method.name in ENDLESS else CALL_S):
                pass
        else:
            call(sent, timeout=CALL_S)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def _lying_upload(header: Any, rng: random.Random) -> list[bytes]:
    """A whole upload whose header or content is not what it says."""
    first = type(header)()
    first.CopyFrom(header)
    artefact = first.header.artefact
    messages = [first, *(type(header)(chunk=FILE[at : at + 1024]) for at in range(0, len(FILE), 1024))]
    lie = rng.choice(("checksum", "size", "missing", "doubled", "swapped", "altered", "headers", "longer", "empty"))
    if lie == "checksum":
        artefact.sha256 = hashlib.sha256(rng.randbytes(8)).hexdigest()
    elif lie == "size":
        artefact.size_bytes = rng.choice((0, 1, len(FILE) - 1, len(FILE) + 1, 2**30, 2**40, 2**62))
    elif lie == "missing":
        del messages[rng.randrange(len(messages))]
    elif lie == "doubled":
        messages.insert(1, messages[rng.randrange(1, len(messages))])
    elif lie == "swapped":
        messages[1], messages[-1] = type(header)(chunk=FILE[:1024][::-1]), messages[1]
    elif lie == "altered":
        messages[rng.randrange(1, len(messages))] = type(header)(chunk=rng.randbytes(1024))
    elif lie == "headers":
        messages.insert(rng.randrange(1, len(messages)), first)
    elif lie == "longer":
        messages += [type(header)(chunk=bytes(2**20))] * 4
    else:
        messages = [first, *[type(header)(chunk=b"")] * 50]
    return [message.SerializeToString() for message in messages]


def _artefact(data: bytes) -> policy_pb2.ArtefactHeader:
    return policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _small_task() -> Any:
    from lwmecps_core.tasks.families import draw

    return draw(CITY, 0)


def bombard(system: System, seed: int, count: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Everything, with `count` requests for every method; raises `AssertionError` naming what went wrong."""
    began, target = time.monotonic(), Target(system, seed)
    try:
        before, codes = target.memory_mib(), Counter[str]()
        wrong: list[str] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for (service, method), report in zip(
                METHODS, pool.map(lambda m: target.fuzz(*m, count), METHODS), strict=True
            ):
                codes.update({code: n for (_, code), n in report.answers.items()})
                wrong += report.wrong
                say(f"{method.name:24} {sum(report.answers.values()):6} requests, {len(report.wrong)} answered wrongly")
                target.still_works(service)
        for name, address in vars(system.addresses).items():
            throw_bytes(address, seed, min(count, 200))
            target.still_works(name)
        grown = {name: round(now - before[name]) for name, now in target.memory_mib().items()}
    finally:
        target.close()
    return {
        "seed": seed,
        "methods": len(METHODS),
        "requests_each": count,
        "codes": dict(codes),
        "grown_mib": grown,
        "wrong": wrong,
        "wall_s": round(time.monotonic() - began, 1),
    }
