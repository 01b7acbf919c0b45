"""The Python client of the services: everything that programs need to work with them, and nothing of the library.

    from services.client import Client

    with Client("127.0.0.1") as client:
        for run in client.runs(state="running"):
            print(run.id, run.step)

It imports gRPC, NumPy and the generated messages in `protos`, and no other part of lwmecps. Each name is loaded at its
first use: the services share channels and errors with it, and need no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.client.client import Client as Client
    from services.client.errors import BadInput as BadInput
    from services.client.errors import CallFailed as CallFailed
    from services.client.errors import CallRefused as CallRefused
    from services.client.errors import FieldViolation as FieldViolation
    from services.client.errors import NothingThere as NothingThere
    from services.client.errors import NotPermitted as NotPermitted
    from services.client.errors import Unreachable as Unreachable
    from services.client.session import ClientSession as ClientSession
    from services.client.session import SessionShown as SessionShown
    from services.client.tensors import array_of as array_of
    from services.client.tensors import tensor_of as tensor_of

_HOMES = {
    "BadInput": "errors",
    "CallFailed": "errors",
    "CallRefused": "errors",
    "Client": "client",
    "ClientSession": "session",
    "FieldViolation": "errors",
    "NotPermitted": "errors",
    "NothingThere": "errors",
    "SessionShown": "session",
    "Unreachable": "errors",
    "array_of": "tensors",
    "tensor_of": "tensors",
}
"""Name → the module of this package that has it."""
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
