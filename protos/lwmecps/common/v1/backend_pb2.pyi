from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Backend(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKEND_UNSPECIFIED: _ClassVar[Backend]
    BACKEND_SIMULATED: _ClassVar[Backend]
    BACKEND_LOAD_PROFILE: _ClassVar[Backend]
    BACKEND_KUBERNETES: _ClassVar[Backend]
BACKEND_UNSPECIFIED: Backend
BACKEND_SIMULATED: Backend
BACKEND_LOAD_PROFILE: Backend
BACKEND_KUBERNETES: Backend
