"""What is usual among clusters of the families, for `portrait`; `scripts/portrait_scales.py` writes it."""

SCALES: tuple[tuple[float, float], ...] = (
    # Mean and standard deviation of each quantity: as a cluster's, or typical, spread, least and most of its parts.
    # latency, cluster
    (0.94, 1.1),
    # failed requests, cluster
    (0.013, 0.031),
    # replicas in use, cluster
    (0.27, 0.1),
    # reward lost, cluster
    (-1.8, 0.4),
    # price of all replicas, cluster
    (-1.7, 1.1),
    # price of 100 ms of latency, cluster
    (-3.5, 1.3),
    # price of failing all requests, cluster
    (-0.68, 0.54),
    # imbalance costs, cluster
    (-6.7, 0.49),
    # moves cost, cluster
    (-6.8, 0.18),
    # service time, deployments
    (5, 1.2),
    (0.095, 0.14),
    (4.9, 1.2),
    (5.1, 1.2),
    # load, deployments
    (0.88, 0.25),
    (0.1, 0.056),
    (0.76, 0.25),
    (1, 0.28),
    # highest load, deployments
    (1.4, 0.31),
    (0.13, 0.06),
    (1.2, 0.33),
    (1.6, 0.33),
    # swing of load, deployments
    (0.27, 0.094),
    (0.025, 0.012),
    (0.24, 0.094),
    (0.3, 0.096),
    # daily swing of load, deployments
    (0.29, 0.16),
    (0.051, 0.031),
    (0.23, 0.17),
    (0.36, 0.16),
    # latency, deployments
    (0.85, 1.1),
    (0.1, 0.12),
    (0.71, 0.99),
    (0.98, 1.1),
    # highest latency, deployments
    (1.4, 1.5),
    (0.19, 0.2),
    (1.2, 1.3),
    (1.7, 1.6),
    # failed requests, deployments
    (0.011, 0.028),
    (0.0063, 0.016),
    (0.0038, 0.014),
    (0.02, 0.049),
    # most failed requests, deployments
    (0.17, 0.26),
    (0.07, 0.11),
    (0.084, 0.19),
    (0.25, 0.35),
    # busy share of ready replicas, deployments
    (0.2, 0.16),
    (0.03, 0.028),
    (0.16, 0.14),
    (0.24, 0.18),
    # highest busy share, deployments
    (0.43, 0.35),
    (0.059, 0.054),
    (0.36, 0.32),
    (0.51, 0.37),
    # replicas on the main node, deployments
    (0.81, 0.22),
    (0.058, 0.064),
    (0.74, 0.26),
    (0.88, 0.2),
    # load of their users, nodes
    (2.3, 0.82),
    (0.16, 0.098),
    (2.1, 0.79),
    (2.5, 0.87),
    # CPU used, nodes
    (0.15, 0.16),
    (0.024, 0.025),
    (0.12, 0.15),
    (0.18, 0.19),
    # most CPU used, nodes
    (0.23, 0.22),
    (0.036, 0.033),
    (0.19, 0.21),
    (0.28, 0.24),
)
