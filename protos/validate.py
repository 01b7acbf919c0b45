"""The rules of fields, `buf/validate/validate.proto`, as protovalidate checks them.

Generated modules import this one where protoc writes `buf.validate.validate_pb2`: a contract can be loaded only when
the files that it imports are in the pool. `scripts/generate_protos.py` takes the descriptor from the wheel of
protovalidate, whose import takes longer than those of all contracts, and which clients don't need.
"""

from pathlib import Path

# The four files that validate.proto imports; importing them puts them into the pool.
from google.protobuf import (
    descriptor_pb2,  # noqa: F401
    descriptor_pool,
    duration_pb2,  # noqa: F401
    field_mask_pb2,  # noqa: F401
    timestamp_pb2,  # noqa: F401
)
from google.protobuf.descriptor import FileDescriptor

RULES = Path(__file__).with_suffix(".binpb")


def _loaded() -> FileDescriptor:
    pool = descriptor_pool.Default()
    try:
        # Another package may have brought its own copy: a pool takes one file of a name.
        return pool.FindFileByName("buf/validate/validate.proto")
    except KeyError:
        return pool.AddSerializedFile(RULES.read_bytes())


DESCRIPTOR = _loaded()
