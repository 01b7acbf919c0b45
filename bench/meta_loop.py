"""Meta-training iterations on sinusoids, compiled, against a loop over tasks in Python; one thread.

The loop stands for learn2learn, which doesn't build on Python 3.11 as published. That, too, loops over tasks in Python,
and clones the module for each, which `torch.func.functional_call` saves.
"""

from bench import meta_problem
from bench.report import BenchRow


def run() -> BenchRow:
    against = "a Python loop over tasks with functional_call"
    return meta_problem.speed("meta_loop", meta_problem.by_loop, against, floor=20.0, repeats=3)
