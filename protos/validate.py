"""The rules of fields, `buf/validate/validate.proto`, from the descriptor that the wheel of protovalidate carries.

Generated modules import this one where protoc writes `buf.validate.validate_pb2`: a contract can be loaded only when
the files that it imports are in the pool.
"""

# The four files that validate.proto imports; importing them puts them into the pool.
from google.protobuf import (
    descriptor_pb2,  # noqa: F401
    descriptor_pool,
    duration_pb2,  # noqa: F401
    field_mask_pb2,  # noqa: F401
    timestamp_pb2,  # noqa: F401
)
from google.protobuf.descriptor import FileDescriptor
from protovalidate import ViolationPb


def _loaded() -> FileDescriptor:
    file, pool = ViolationPb.desc().file, descriptor_pool.Default()
    try:
        # Another package may have brought its own copy: a pool takes one file of a name.
        return pool.FindFileByName(file.name)
    except KeyError:
        return pool.AddSerializedFile(file.proto.to_binary())


DESCRIPTOR = _loaded()
