"""The context benchmark: what a policy gains by remembering its cluster, against every control, over training seeds."""
