"""Server reflection under both of its names: tools of today ask `grpc.reflection.v1`, older ones `v1alpha`.

grpcio-reflection knows the older one only. Their messages are the same but for the package's name, so one servicer
answers both; the descriptor that v1 tells of itself is made from the other.
"""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME
_METHOD = "ServerReflectionInfo"


def enable(names: Sequence[str], server: grpc.Server) -> None:
    """Let clients ask `server` for the contracts of the services `names`."""
    _know_v1()
    known = [*names, V1, V1ALPHA]
    reflection.enable_server_reflection(known, server)
    answer = grpc.stream_stream_rpc_method_handler(
        reflection.ReflectionServicer(known).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: answer}),))


def _know_v1() -> None:
    """Put v1's descriptor into the pool that reflection reads, if nobody has."""
    pool, file = descriptor_pool.Default(), descriptor_pb2.FileDescriptorProto()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        text = json_format.MessageToJson(file).replace("v1alpha", "v1")
        pool.Add(json_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
