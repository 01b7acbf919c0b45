"""`inference.GRPCInferenceService`: any client of the Open Inference Protocol acts with stored policies."""

import re
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.errors import InvalidInput, LwmecpsError, NotFound, Violation
from lwmecps_core.rollout.deciding import Before
from protos.oip import inference_pb2 as pb
from protos.oip.inference_pb2_grpc import GRPCInferenceServiceServicer, add_GRPCInferenceServiceServicer_to_server
from services.common.health import VERSION
from services.common.server import Service
from services.learner_service.acting import LoadedPolicies
from services.learner_service.inference.tensors import Arrays, answer, arrays_of, datatype_of

MODEL_VERSION = "1"
MEMORY = "memory."
SHOWN = ("observation", "mask", "reward_terms", "previous_action", "first")
PARAMETERS = {"sample": "bool_param", "seed": "int64_param"}
_IN_ACT = re.compile(r"^memory\[(.*)\]$")


class InferenceRpc(GRPCInferenceServiceServicer):
    """The servicer; `check` raises where the registry, which has all policies, can't be reached."""

    def __init__(self, policies: LoadedPolicies, check: Callable[[], None]) -> None:
        self._policies, self._check = policies, check

    def ServerLive(self, request: pb.ServerLiveRequest, context: grpc.ServicerContext) -> pb.ServerLiveResponse:
        """Whether the server answers."""
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request: pb.ServerReadyRequest, context: grpc.ServicerContext) -> pb.ServerReadyResponse:
        """Whether policies can be had."""
        return pb.ServerReadyResponse(ready=_holds(self._check))

    def ModelReady(self, request: pb.ModelReadyRequest, context: grpc.ServicerContext) -> pb.ModelReadyResponse:
        """Whether the policy can act."""

        def load() -> None:
            _check_version(request.name, request.version)
            self._policies.ready(request.name)

        return pb.ModelReadyResponse(ready=_holds(load))

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> pb.ServerMetadataResponse:
        """What this is."""
        return pb.ServerMetadataResponse(name="lwmecps", version=VERSION)

    def ModelMetadata(self, request: pb.ModelMetadataRequest, context: grpc.ServicerContext) -> Any:
        """The policy's tensors."""
        _check_version(request.name, request.version)
        ready = self._policies.ready(request.name)
        spec = ready.policy.env_spec
        action = "INT32" if spec.discrete else "FP32"
        kept = [
            _tensor(MEMORY + name, datatype_of(x.numpy().dtype), *x.shape[1:]) for name, x in ready.memory(1).items()
        ]
        before = [
            _tensor("reward_terms", "FP32", len(REWARD_TERMS)),
            _tensor("previous_action", action, spec.action_size),
            _tensor("first", "BOOL"),
        ]
        masks = [_tensor("mask", "BOOL", spec.mask_size)] if spec.mask_size else []
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[MODEL_VERSION],
            platform="lwmecps_policy",
            inputs=[_tensor("observation", "FP32", spec.obs_size), *masks, *(before if kept else ()), *kept],
            outputs=[_tensor("action", action, spec.action_size), *kept],
        )

    def ModelInfer(self, request: pb.ModelInferRequest, context: grpc.ServicerContext) -> pb.ModelInferResponse:
        """Choose actions."""
        _check_version(request.model_name, request.model_version)
        given, told = arrays_of(request), _parameters(request)
        _check_names(given)
        memory = {name.removeprefix(MEMORY): x for name, x in given.items() if name.startswith(MEMORY)}
        before = Before(memory, *(given.get(name) for name in SHOWN[2:]))
        try:
            acted = self._policies.act(
                request.model_name,
                given["observation"],
                given.get("mask"),
                greedy=not told.get("sample", False),
                seed=told.get("seed", 0),
                before=before,
            )
        except InvalidInput as error:
            wrong = [Violation(_IN_ACT.sub(rf"{MEMORY}\1", v.field), v.reason) for v in error.violations]
            raise InvalidInput(error.source, wrong) from None
        made = {"action": acted.action, **{MEMORY + name: np.asarray(x) for name, x in acted.memory.items()}}
        response = answer(_wanted(request, made), bool(request.raw_input_contents))
        response.model_name, response.model_version, response.id = request.model_name, MODEL_VERSION, request.id
        return response


def inference_service(policies: LoadedPolicies, check: Callable[[], None]) -> Service:
    """The service, for a server."""
    descriptor = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    return Service(descriptor, InferenceRpc(policies, check), add_GRPCInferenceServiceServicer_to_server)


def _holds(check: Callable[[], object]) -> bool:
    try:
        check()
    except LwmecpsError:
        return False
    return True


def _tensor(name: str, datatype: str, *shape: int) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=name, datatype=datatype, shape=(-1, *shape))


def _check_version(name: str, version: str) -> None:
    if version not in ("", MODEL_VERSION):
        raise NotFound("policy", f"{name}, version {version}")


def _check_names(given: Arrays) -> None:
    wrong = [
        Violation(name, f"no policy is shown that; there are {', '.join(SHOWN)} and {MEMORY}NAME")
        for name in given
        if name not in SHOWN and not name.startswith(MEMORY)
    ]
    if "observation" not in given:
        wrong.append(Violation("observation", "is missing"))
    if wrong:
        raise InvalidInput("request", wrong)


def _parameters(request: pb.ModelInferRequest) -> dict[str, Any]:
    """The values by name; raises `InvalidInput` naming one that is unknown, or of another type."""
    found, wrong = {}, []
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        kind = "int64_param" if kind == "uint64_param" else kind
        value = getattr(parameter, parameter.WhichOneof("parameter_choice") or "bool_param")
        if name not in PARAMETERS:
            wrong.append(Violation(f"parameters[{name}]", f"is none of {', '.join(PARAMETERS)}"))
        elif kind != PARAMETERS[name] or not 0 <= value < 2**63:
            wrong.append(Violation(f"parameters[{name}]", f"must be {PARAMETERS[name]}, and not negative"))
        found[name] = value
    if wrong:
        raise InvalidInput("request", wrong)
    return found


def _wanted(request: pb.ModelInferRequest, made: Arrays) -> Arrays:
    """The outputs that were asked for, all where none were."""
    names = [output.name for output in request.outputs] or list(made)
    if wrong := [Violation(name, f"is none of the outputs {', '.join(made)}") for name in names if name not in made]:
        raise InvalidInput("request", wrong)
    return {name: made[name] for name in names}
