"""The Open Inference Protocol over real gRPC, against what `Act` answers."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import NotFound, ServiceUnavailable
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.training.sampling import torch_generator
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub, add_LearnerServiceServicer_to_server
from protos.oip import inference_pb2 as pb
from protos.oip.inference_pb2_grpc import GRPCInferenceServiceStub
from services.common.server import RunningServer, Service, start
from services.common.settings import ServerSettings
from services.learner_service.acting import LoadedPolicies
from services.learner_service.inference.service import inference_service
from services.learner_service.inference.tensors import KINDS
from services.learner_service.rpc import LearnerRpc
from tests.env_service.conftest import make_task

ROOT = Path(__file__).resolve().parents[2]
TASKS = {name: make_task(name) for name in ("lwmecps-v3", "lwmecps-v4", "lwmecps-v3-continuous")}
POLICIES = [("lwmecps-v3", "none"), ("lwmecps-v4", "statistics"), ("lwmecps-v3", "recurrent"), ("lwmecps-v4", "belief")]


def _policy(env_id: str, context: str) -> PolicyData:
    config, spec = PPOConfig(hidden_size=(8, 8), context=context), env_spec(TASKS[env_id])  # type: ignore[arg-type]
    params, extra = algorithms.make(config, spec).init(torch_generator(3, "weights"))
    return PolicyData(config, spec, params, extra)


STORED = {f"{env_id}-{context}": _policy(env_id, context) for env_id, context in POLICIES}


class Running:
    """A learner's two ways to act, on one server."""

    def __init__(self) -> None:
        self.away = False
        policies = LoadedPolicies(self._load)
        descriptor = learner_pb2.DESCRIPTOR.services_by_name["LearnerService"]
        servicer: Any = LearnerRpc(None, policies, lambda: None)  # type: ignore[arg-type]  # Act asks no registry
        services = [
            Service(descriptor, servicer, add_LearnerServiceServicer_to_server),
            inference_service(policies, self._check),
        ]
        self.server: RunningServer = start(ServerSettings(log_level="error"), services)
        self.channel = grpc.insecure_channel(self.server.address)
        self.stub, self.learner = GRPCInferenceServiceStub(self.channel), LearnerServiceStub(self.channel)

    def _load(self, name: str) -> PolicyData:
        if name not in STORED:
            raise NotFound("policy", name)
        return STORED[name]

    def _check(self) -> None:
        if self.away:
            raise ServiceUnavailable("the registry")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.channel.close()
    made.server.drain(0.0)


def _request(name: str, arrays: dict[str, Any], raw: bool, **fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=name, **fields)
    for key, array in arrays.items():
        kind = next(k for k, (dtype, _) in KINDS.items() if dtype == array.dtype)
        tensor = request.inputs.add(name=key, datatype=kind, shape=array.shape)
        if raw:
            request.raw_input_contents.append(array.tobytes())
        else:
            getattr(tensor.contents, KINDS[kind][1]).extend(array.reshape(-1).tolist())
    return request


def _arrays(response: pb.ModelInferResponse) -> dict[str, Any]:
    found = {}
    for k, tensor in enumerate(response.outputs):
        dtype, field = KINDS[tensor.datatype]
        raw = response.raw_output_contents
        elements = np.frombuffer(raw[k], dtype) if raw else np.array(getattr(tensor.contents, field), dtype)
        found[tensor.name] = elements.reshape(tuple(tensor.shape))
    return found


def _shown(name: str, rows: int, step: int) -> dict[str, Any]:
    """What so many environments show at their beginning."""
    task = TASKS[name.rsplit("-", 1)[0]]
    obs, mask = BatchEnv([task], np.zeros(rows, np.int64)).reset(np.arange(rows, dtype=np.uint64) + 10 * step)
    return {"observation": obs.copy(), "mask": mask.copy()}


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", STORED)
def test_actions_and_memory_are_those_of_act_bit_by_bit_over_a_whole_episode(
    running: Running, name: str, raw: bool, sample: bool
) -> None:
    memory, theirs = {}, {}
    for step in range(6):
        shown = _shown(name, 3, step)
        request = _request(name, {**shown, **memory}, raw, id=f"step {step}")
        request.parameters["sample"].bool_param = sample
        request.parameters["seed"].int64_param = step
        response = running.stub.ModelInfer(request, timeout=20)
        assert (response.model_name, response.model_version, response.id) == (name, "1", f"step {step}")
        assert bool(response.raw_output_contents) is raw
        ours = _arrays(response)

        asked = learner_pb2.ActRequest(policy_id=name, sample=sample, seed=step, memory=theirs)
        asked.observation.CopyFrom(tensor_to_proto(shown["observation"]))
        asked.mask.CopyFrom(tensor_to_proto(shown["mask"]))
        answer = running.learner.Act(asked, timeout=20)
        theirs = dict(answer.memory)
        expected = {"action": answer.action, **{f"memory.{key}": x for key, x in theirs.items()}}
        assert ours.keys() == expected.keys()
        for key, message in expected.items():
            array = tensor_from_proto(message)
            assert (ours[key].dtype, ours[key].tobytes()) == (array.dtype, array.tobytes()), key
        memory = {key: x for key, x in ours.items() if key.startswith("memory.")}
    assert bool(memory) is not name.endswith("none")


def test_what_went_before_can_be_told_and_outputs_be_chosen(running: Running) -> None:
    name = "lwmecps-v4-statistics"
    shown = _shown(name, 2, 2)
    size = STORED[name].env_spec.action_size
    told = {
        "reward_terms": np.full((2, 5), -1.0, np.float32),
        "previous_action": np.ones((2, size), np.int32),
        "first": np.zeros(2, np.bool_),
    }
    full = _arrays(running.stub.ModelInfer(_request(name, {**shown, **told}, True), timeout=20))
    blind = _arrays(running.stub.ModelInfer(_request(name, shown, True), timeout=20))
    assert any(full[key].tobytes() != blind[key].tobytes() for key in full)
    request = _request(name, {**shown, **told}, True)
    request.outputs.add(name="action")
    only = _arrays(running.stub.ModelInfer(request, timeout=20))
    assert list(only) == ["action"] and only["action"].tobytes() == full["action"].tobytes()


@pytest.mark.parametrize("name", STORED)
def test_metadata_names_every_tensor_that_acting_takes_and_gives(running: Running, name: str) -> None:
    metadata = running.stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=20)
    assert (metadata.name, list(metadata.versions), metadata.platform) == (name, ["1"], "lwmecps_policy")
    arrays = {}
    for tensor in metadata.inputs:
        shape = [2 if length == -1 else length for length in tensor.shape]
        arrays[tensor.name] = np.ones(shape, KINDS[tensor.datatype][0])
    response = running.stub.ModelInfer(_request(name, arrays, True), timeout=20)
    given = [(t.name, t.datatype, [-1, *list(t.shape)[1:]]) for t in response.outputs]
    assert given == [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs]


def test_the_server_and_its_models_say_whether_they_are_ready(running: Running) -> None:
    stub = running.stub
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live
    assert stub.ServerReady(pb.ServerReadyRequest(), timeout=20).ready
    running.away = True
    assert not stub.ServerReady(pb.ServerReadyRequest(), timeout=20).ready
    running.away = False
    server = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=20)
    assert server.name == "lwmecps" and server.version
    ready = [
        stub.ModelReady(pb.ModelReadyRequest(name=name, version=version), timeout=20).ready
        for name, version in (("lwmecps-v3-none", ""), ("lwmecps-v3-none", "1"), ("lwmecps-v3-none", "2"), ("gone", ""))
    ]
    assert ready == [True, True, False, False]


def _without(request: pb.ModelInferRequest, name: str) -> None:
    kept = [t for t in request.inputs if t.name != name]
    del request.inputs[:]
    request.inputs.extend(kept)


def _raw_too(request: pb.ModelInferRequest) -> None:
    request.raw_input_contents.extend([b"", b""])


def _parameter(request: pb.ModelInferRequest, name: str, **value: Any) -> None:
    request.parameters[name].CopyFrom(pb.InferParameter(**value))


BAD: dict[str, tuple[Callable[[pb.ModelInferRequest], Any], str]] = {
    "no observation": (lambda r: _without(r, "observation"), "observation: is missing"),
    "an unknown tensor": (lambda r: setattr(r.inputs[1], "name", "masc"), "masc: no policy is shown that"),
    "one twice": (lambda r: setattr(r.inputs[1], "name", "observation"), "observation: is given twice"),
    "half a tensor": (lambda r: r.inputs[0].contents.fp32_contents.pop(), "observation: "),
    "a negative axis": (lambda r: r.inputs[0].shape.__setitem__(0, -1), "observation: shape"),
    "a huge axis": (lambda r: r.inputs[0].shape.__setitem__(0, 2**62), "observation: "),
    "too many axes": (lambda r: r.inputs[0].shape.extend([1] * 9), "observation: shape"),
    "text": (lambda r: setattr(r.inputs[0], "datatype", "BYTES"), "observation: datatype 'BYTES'"),
    "half precision": (lambda r: setattr(r.inputs[0], "datatype", "FP16"), "observation: datatype 'FP16'"),
    "another field": (lambda r: r.inputs[1].contents.int_contents.append(1), "mask: BOOL is in bool_contents"),
    "another type": (lambda r: setattr(r.inputs[0], "datatype", "INT32"), "observation: INT32 is in int_contents"),
    "not a number": (
        lambda r: r.inputs[0].contents.fp32_contents.__setitem__(0, float("nan")),
        "observation: holds NaN",
    ),
    "both kinds of contents": (_raw_too, "observation: has contents"),
    "too few raw ones": (lambda r: r.raw_input_contents.append(b""), "raw_input_contents: 1 contents for 2 inputs"),
    "what nobody remembers": (
        lambda r: setattr(r.inputs[1], "name", "memory.x"),
        "memory.x: the policy remembers nothing",
    ),
    "an unknown output": (lambda r: r.outputs.add(name="value"), "value: is none of the outputs action"),
    "an unknown parameter": (lambda r: _parameter(r, "temperature", double_param=1.0), "parameters[temperature]"),
    "a parameter of another type": (lambda r: _parameter(r, "seed", string_param="1"), "parameters[seed]"),
    "a negative seed": (lambda r: _parameter(r, "seed", int64_param=-1), "parameters[seed]"),
    "a parameter without a value": (lambda r: r.parameters["seed"].Clear(), "parameters[seed]"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_refused_by_the_tensors_name(running: Running, what: str) -> None:
    name = "lwmecps-v3-none"
    request = _request(name, _shown(name, 2, 3), False)
    change, said = BAD[what]
    change(request)
    with pytest.raises(grpc.RpcError) as caught:
        running.stub.ModelInfer(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    assert said in caught.value.details()


def test_an_unknown_policy_or_version_is_not_found(running: Running) -> None:
    shown = _shown("lwmecps-v3-none", 1, 4)
    for name, version in (("gone", ""), ("lwmecps-v3-none", "2")):
        with pytest.raises(grpc.RpcError) as caught:
            running.stub.ModelInfer(_request(name, shown, True, model_version=version), timeout=20)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


CLIENT = """
import sys
import numpy as np
import tritonclient.grpc as triton

client, name = triton.InferenceServerClient(sys.argv[1]), sys.argv[2]
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
assert client.get_server_metadata().name == "lwmecps"
metadata = client.get_model_metadata(name)
memory = []
assert metadata.inputs[0].name == "observation"
for obs in np.load(sys.argv[3]):
    given = triton.InferInput("observation", list(obs.shape), "FP32")
    given.set_data_from_numpy(obs)
    result = client.infer(name, [given, *memory])
    print(result.as_numpy("action").tolist())
    memory = []
    for tensor in result.get_response().outputs:
        if tensor.name.startswith("memory."):
            again = triton.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
            again.set_data_from_numpy(result.as_numpy(tensor.name))
            memory.append(again)
"""


@pytest.mark.skipif(find_spec("tritonclient") is None, reason="tritonclient is not installed")
@pytest.mark.parametrize("name", STORED)
def test_tritons_own_client_acts_with_a_policy_step_after_step(running: Running, name: str, tmp_path: Path) -> None:
    frames = np.stack([_shown(name, 3, step)["observation"] for step in range(4)])
    np.save(tmp_path / "frames.npy", frames)
    # In a process of its own: its messages have the names of ours.
    called = [sys.executable, "-c", CLIENT, running.server.address, name, str(tmp_path / "frames.npy")]
    result = subprocess.run(called, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert result.returncode == 0, result.stderr
    memory, expected = {}, []
    for frame in frames:
        request = _request(name, {"observation": frame, **memory}, True)
        answer = _arrays(running.stub.ModelInfer(request, timeout=20))
        expected.append(str(answer["action"].tolist()))
        memory = {key: x for key, x in answer.items() if key.startswith("memory.")}
    assert result.stdout.splitlines() == expected
