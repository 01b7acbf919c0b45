"""Meta-training iterations on sinusoids, compiled, against TorchOpt under `vmap` in the same run; one thread."""

from bench import meta_problem
from bench.report import BenchRow


def run() -> BenchRow:
    return meta_problem.speed("meta_speed", meta_problem.by_torchopt, "TorchOpt under vmap", floor=3.0, repeats=20)
