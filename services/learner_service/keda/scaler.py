"""`externalscaler.ExternalScaler`: KEDA asks how many replicas a policy wants."""

from collections.abc import Iterator

import grpc

from lwmecps_core.errors import InvalidInput, ServiceUnavailable, Violation
from protos.keda import externalscaler_pb2 as pb
from protos.keda.externalscaler_pb2_grpc import ExternalScalerServicer, add_ExternalScalerServicer_to_server
from services.common.server import Service
from services.learner_service.keda.follower import Follower, Followers
from services.learner_service.keda.trigger import check_namespace, place_of, trigger_of

METRIC = "replicas"
LOOK_S = 1.0
"""How soon a stream ends after its caller has left or the server drains."""


class KedaScaler(ExternalScalerServicer):
    """The servicer. It never says "inactive", or a size, that nobody decided on: then it fails, and KEDA and the HPA
    leave a Deployment as it is.
    """

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def IsActive(self, request: pb.ScaledObjectRef, context: grpc.ServicerContext) -> pb.IsActiveResponse:
        """Whether any replica is wanted."""
        return pb.IsActiveResponse(result=self._replicas(request) > 0)

    def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: grpc.ServicerContext
    ) -> Iterator[pb.IsActiveResponse]:
        """The same, once it is known, and at every change."""
        self._follower(request)
        said: bool | None = None
        while context.is_active():
            try:
                active = self._replicas(request) > 0
            except ServiceUnavailable:  # nobody knows
                active = None
            if active is not None and active is not said:
                said = active
                yield pb.IsActiveResponse(result=active)
            follower = self._follower(request)
            with follower.changed:
                follower.changed.wait(LOOK_S)

    def GetMetricSpec(self, request: pb.ScaledObjectRef, context: grpc.ServicerContext) -> pb.GetMetricSpecResponse:
        """The metric; what is wrong with the trigger is told here first, and the cluster is followed from now on."""
        self._place(request)
        return pb.GetMetricSpecResponse(metricSpecs=[pb.MetricSpec(metricName=METRIC, targetSize=1, targetSizeFloat=1)])

    def StreamMetricSpec(
        self, request: pb.ScaledObjectRef, context: grpc.ServicerContext
    ) -> Iterator[pb.GetMetricSpecResponse]:
        """The metric, at once; it stays what it is."""
        yield self.GetMetricSpec(request, context)
        follower = self._follower(request)
        while context.is_active():
            with follower.changed:
                follower.changed.wait(LOOK_S)

    def GetMetrics(self, request: pb.GetMetricsRequest, context: grpc.ServicerContext) -> pb.GetMetricsResponse:
        """How many replicas are wanted."""
        if request.metricName != METRIC:
            raise InvalidInput("request", [Violation("metricName", f"there is only {METRIC!r}")])
        replicas = self._replicas(request.scaledObjectRef)
        value = pb.MetricValue(metricName=METRIC, metricValue=replicas, metricValueFloat=replicas)
        return pb.GetMetricsResponse(metricValues=[value])

    def _replicas(self, ref: pb.ScaledObjectRef) -> int:
        follower, d, n = self._place(ref)
        placement = follower.size().placement[d]
        return int(placement.sum() if n is None else placement[n])

    def _place(self, ref: pb.ScaledObjectRef) -> tuple[Follower, int, int | None]:
        """Who follows the cluster, the deployment, and the node (None: all); raises what is wrong with the trigger."""
        trigger, follower = trigger_of(ref.scalerMetadata), self._follower(ref)
        check_namespace(ref.namespace, trigger, follower.task)
        return follower, *place_of(trigger, follower.task)

    def _follower(self, ref: pb.ScaledObjectRef) -> Follower:
        return self._followers.get(trigger_of(ref.scalerMetadata).sizing)


def keda_service(followers: Followers) -> Service:
    """The service, for a server."""
    descriptor = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
    return Service(descriptor, KedaScaler(followers), add_ExternalScalerServicer_to_server)
