"""The benchmark of objectives with bounds: what keeps them costs, of policies and of autoscalers, on six workloads."""
