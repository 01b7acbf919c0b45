"""The Python client of the services: everything that programs need to work with them, and nothing of the library.

    from services.client import Client

    with Client("127.0.0.1") as client:
        for run in client.runs(state="running"):
            print(run.id, run.step)

It imports gRPC, NumPy and the generated messages in `protos`, and no other part of lwmecps.
"""

from services.client.client import Client
from services.client.errors import (
    BadInput,
    CallFailed,
    CallRefused,
    FieldViolation,
    NothingThere,
    NotPermitted,
    Unreachable,
)
from services.client.session import ClientSession, SessionShown
from services.client.tensors import array_of, tensor_of

__all__ = [
    "BadInput",
    "CallFailed",
    "CallRefused",
    "Client",
    "ClientSession",
    "FieldViolation",
    "NotPermitted",
    "NothingThere",
    "SessionShown",
    "Unreachable",
    "array_of",
    "tensor_of",
]
