"""The records of the simulator's arrays, which `lwmecps_core.sim.state` explains."""

import numpy as np

TASK = np.dtype(
    [
        ("table_start", "i8"),
        ("table_length", "i8"),
        ("horizon", "i8"),
        ("pods", "i8"),
        ("random_start", "i8"),
        ("burst", "i8"),
        ("routing", "i8"),
        ("testapp", "i8"),
        ("slo", "i8"),
        ("window", "i8"),
        ("expense", "i8"),
        ("calls", "i8"),
        ("interval_s", "f8"),
        ("request_interval_s", "f8"),
        ("noise", "f8"),
        ("max_replicas", "f8"),
        ("mean_pod_cpu", "f8"),
        ("target_latency_ms", "f8"),
        ("w_latency", "f8"),
        ("w_replicas", "f8"),
        ("w_imbalance", "f8"),
        ("w_sla", "f8"),
        ("w_moves", "f8"),
        ("bound_failed", "f8"),
        ("bound_p95_ms", "f8"),
        ("w_energy", "f8"),
        ("most_priced", "f8"),
        ("most_watts", "f8"),
    ],
    align=True,
)
NODE = np.dtype(
    [
        ("cpu", "f8"),
        ("ram", "f8"),
        ("tx", "f8"),
        ("rx", "f8"),
        ("access_ms", "f8"),
        ("price", "f8"),
        ("idle_watts", "f8"),
        ("busy_watts", "f8"),
    ],
    align=True,
)
DEPLOYMENT = np.dtype(
    [
        ("home", "i8"),
        ("max_replicas", "i8"),
        ("startup", "i8"),
        ("cores", "f8"),
        ("slots", "f8"),
        ("cpu", "f8"),
        ("ram", "f8"),
        ("tx", "f8"),
        ("rx", "f8"),
        ("busy_cpu", "f8"),
        ("busy_share", "f8"),
        ("service_ms", "f8"),
        ("pod_rate", "f8"),
        ("variability", "f8"),
        ("cv2", "f8"),
        ("abandon", "i8"),
        ("timeout_ms", "f8"),
    ],
    align=True,
)

ENV = np.dtype(
    [
        ("seed", "u8"),
        ("t", "i8"),
        ("start", "i8"),
        ("pod", "i8"),
        ("pod_node", "i8"),
        ("replicas", "f8"),
        ("latency_ms", "f8"),
        ("failed_share", "f8"),
        ("excess_failed", "f8"),
        ("excess_p95", "f8"),
        ("priced", "f8"),
        ("watts", "f8"),
    ],
    align=True,
)
POOL = np.dtype(
    [
        ("desired", "i4"),
        ("ready", "i4"),
        ("starting", "i4"),
        ("pending", "i4"),
        ("backlog", "f8"),
        ("backlog_ram", "f8"),
        ("utilisation", "f8"),
    ],
    align=True,
)
DEPLOYMENT_STATE = np.dtype(
    [
        ("rate", "f8"),
        ("log_rate", "f8"),
        ("log_rate_change", "f8"),
        ("latency_ms", "f8"),
        ("failed_share", "f8"),
        ("p95_ms", "f8"),
    ],
    align=True,
)
NODE_STATE = np.dtype(
    [
        ("rate", "f8"),
        ("cpu_used", "f8"),
        ("cpu_requested", "f8"),
        ("ram_requested", "f8"),
        ("tx_used", "f8"),
        ("rx_used", "f8"),
    ],
    align=True,
)
FLOW = np.dtype(
    [
        ("ready", "f8"),
        ("requests", "f8"),
        ("base_ms", "f8"),
        ("wait_ms", "f8"),
        ("p_wait", "f8"),
        ("decay", "f8"),
        ("more_p95_ms", "f8"),
        ("leaving", "f8"),
        ("dropped", "f8"),
        ("spare", "f8"),
        ("node", "i8"),
    ],
    align=True,
)
WINDOW = np.dtype([("requests", "f8"), ("failed", "f8"), ("p95", "f8")], align=True)
"""Of the requests of a window, or of an interval of one: how many, how many failed, the sum of 95th percentiles."""
