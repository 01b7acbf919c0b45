"""The one table of HTTP: the verb and the path of every call of our services, and what lists of numbers become.

What stands in braces is a field of the request. The other fields are parameters of the query where the verb is GET or
DELETE, else keys of a JSON body. `tests/gateway/test_table.py` says which call is missing here.
"""

from collections.abc import Mapping

REGISTRY = "lwmecps.registry.v1.TaskRegistryService"
ENV = "lwmecps.env.v1.EnvService"
LEARNER = "lwmecps.learner.v1.LearnerService"

ROUTES: Mapping[str, Mapping[str, str]] = {
    REGISTRY: {
        "CreateTask": "POST /v1/tasks",
        "GetTask": "GET /v1/tasks/{task_id}",
        "ListTasks": "GET /v1/tasks",
        "DownloadRecording": "GET /v1/recordings/{sha256}",
        "DeleteTask": "DELETE /v1/tasks/{task_id}",
        "CreateRun": "POST /v1/runs",
        "GetRun": "GET /v1/runs/{run_id}",
        "ListRuns": "GET /v1/runs",
        "WatchRun": "GET /v1/runs/{run_id}/watch",
        "PauseRun": "POST /v1/runs/{run_id}/pause",
        "ResumeRun": "POST /v1/runs/{run_id}/resume",
        "CancelRun": "POST /v1/runs/{run_id}/cancel",
        "DeleteRun": "DELETE /v1/runs/{run_id}",
        "ListRunMetrics": "GET /v1/runs/{run_id}/metrics",
        "ListRunRows": "GET /v1/runs/{run_id}/rows",
        "ListRunTraces": "GET /v1/runs/{run_id}/traces",
        "ClaimRun": "POST /v1/leases",
        "Heartbeat": "POST /v1/runs/{run_id}/heartbeat",
        "ReportRun": "POST /v1/runs/{run_id}/report",
        "UploadCheckpoint": "POST /v1/checkpoints",
        "DownloadCheckpoint": "GET /v1/runs/{run_id}/checkpoint",
        "CreatePolicy": "POST /v1/policies",
        "GetPolicy": "GET /v1/policies/{policy_id}",
        "ListPolicies": "GET /v1/policies",
        "DeletePolicy": "DELETE /v1/policies/{policy_id}",
        "UploadPolicyWeights": "POST /v1/policy-weights",
        "DownloadPolicyWeights": "GET /v1/policies/{policy_id}/weights",
        "PutMemory": "PUT /v1/tasks/{task_id}/memories/{name}",
        "GetMemory": "GET /v1/tasks/{task_id}/memories/{name}",
        "ListMemories": "GET /v1/memories",
        "DeleteMemory": "DELETE /v1/tasks/{task_id}/memories/{name}",
        "Backup": "GET /v1/backup",
        "Restore": "POST /v1/restore",
    },
    ENV: {
        "ListEnvironments": "GET /v1/environments",
        "CreateSession": "POST /v1/sessions",
        "ResetSession": "POST /v1/sessions/{session_id}/reset",
        "StepSession": "POST /v1/sessions/{session_id}/step",
        "CloseSession": "DELETE /v1/sessions/{session_id}",
        "StepStream": "POST /v1/step-stream",
        "GetClusterState": "GET /v1/sessions/{session_id}/cluster",
        "ApplyPlacement": "PUT /v1/sessions/{session_id}/placement",
        "GetWorkerStatus": "GET /v1/workers",
    },
    LEARNER: {
        "StartTraining": "POST /v1/train",
        "StartMetaTraining": "POST /v1/meta-train",
        "StartTransfer": "POST /v1/transfer",
        "StartAdaptation": "POST /v1/adapt",
        "StartEvaluation": "POST /v1/evaluate",
        "StartContinual": "POST /v1/continual",
        "WatchProgress": "GET /v1/runs/{run_id}/progress",
        "GetResults": "GET /v1/runs/{run_id}/results",
        "GetProfile": "GET /v1/runs/{run_id}/profile",
        "GetRunLog": "GET /v1/runs/{run_id}/log",
        "Act": "POST /v1/policies/{policy_id}/act",
        "GetNearestContexts": "POST /v1/nearest-contexts",
    },
}
"""Service → call → verb and path."""

LISTS: Mapping[str, str] = {
    "lwmecps.cluster.v1.ClusterSpec.rtt_ms": "DTYPE_FLOAT64",
    "lwmecps.cluster.v1.Placement.replicas": "DTYPE_INT32",
    "lwmecps.task.v1.WorkloadSpec.base_users": "DTYPE_FLOAT64",
    "lwmecps.task.v1.WorkloadSpec.phase": "DTYPE_FLOAT64",
    "lwmecps.task.v1.WorkloadSpec.recorded_users": "DTYPE_FLOAT64",
    "lwmecps.task.v1.WorkloadSpec.share": "DTYPE_FLOAT64",
    "lwmecps.task.v1.TaskDistribution.recorded_users": "DTYPE_FLOAT64",
    "lwmecps.registry.v1.Trace.series": "DTYPE_FLOAT64",
    "lwmecps.env.v1.StepSessionRequest.action": "",
    "lwmecps.env.v1.StepStreamRequest.action": "",
    "lwmecps.learner.v1.ActRequest.observation": "DTYPE_FLOAT32",
    "lwmecps.learner.v1.ActRequest.mask": "DTYPE_BOOL",
    "lwmecps.learner.v1.ActRequest.memory": "DTYPE_FLOAT32",
    "lwmecps.learner.v1.ActRequest.reward_terms": "DTYPE_FLOAT32",
    "lwmecps.learner.v1.ActRequest.previous_action": "",
    "lwmecps.learner.v1.ActRequest.first": "DTYPE_BOOL",
}
"""Field of a request → elements of the tensor that a nested list in it becomes; empty: as the numbers are written,
`1` an int32 and `1.0` a float32. JavaScript writes both alike: there say `{"dtype": …, "values": […]}`.
"""
