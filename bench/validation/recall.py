"""Clusters that come again: what was learnt on each is asked for after others were met, of a memory kept meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.validation.fleets import filled
from bench.validation.reader import Reader, trained
from bench.validation.results import RESULTS, write
from lwmecps_core.algorithms.external.addressing import MemorySize, numbers
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer
from lwmecps_core.algorithms.external.ntm import NeuralTuringMachine
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.metric import watched
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-recall.json"
TRAINING, HELD_OUT, TEST_SEED = 3_000_000, 4_000_000, 800_000
"""First clusters to learn from and to be recognised, and the streams that measure."""
SEEDS, CLUSTERS, STEPS, BATCH, TEST_STREAMS = (0, 1, 2), (1000, 400), 600, 64, 1000
AFTER, ANSWERS, FEATURES = 20, 4, 12
"""Clusters met after the one in question, what may have been learnt there, and numbers that a look comes to."""
UNITS, SIZE = 64, MemorySize(slots=24, width=16, reads=1)


@dataclass(frozen=True)
class Looks:
    """Two looks `[2, N, FEATURES]` at clusters to learn from, and at others; each is a day under the autoscaler, with
    users of its own.
    """

    training: Tensor
    held_out: Tensor


def looks(clusters: tuple[int, int] = CLUSTERS) -> Looks:
    """Portraits through the linear map under which looks at one of the training clusters differ alike in all
    directions, and what training clusters differ in most comes to standard deviations of 1.
    """
    training, held_out = (_watched(first, n) for first, n in zip((TRAINING, HELD_OUT), clusters, strict=True))
    mean, apart = training.flatten(0, 1).mean(0), (training[0] - training[1]) / 2**0.5
    noise = apart.mT @ apart / len(apart) + 0.01 * torch.eye(len(mean))
    whitening = torch.linalg.cholesky(torch.linalg.inv(noise))
    every = (training.flatten(0, 1) - mean) @ whitening
    _, lengths, directions = torch.linalg.svd(every, full_matrices=False)
    scale = len(every) ** 0.5 / lengths[:FEATURES]
    through = whitening @ directions[:FEATURES].mT * scale
    return Looks((training - mean) @ through, (held_out - mean) @ through)


def _watched(first: int, clusters: int) -> Tensor:
    tasks = [draw(TaskDistribution(), first + i) for i in range(clusters)]
    days = [watched(tasks, (tasks[0].horizon,), seed) for seed in (1, 2)]
    return torch.stack([filled(x) for day in days for x in day.values()])


def streams(some: Tensor, count: int, met: int, asked: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Streams `[count, met + asked, F]` and the answers that are wanted in the end `[count, asked]`.

    `met` clusters come one after the other, each with one look `some` `[2, N, FEATURES]` and the answer that belongs to
    it in this stream alone; then `asked` of them come again, with the other look and no answer: one alone is the first,
    several are in any order.
    """
    which = torch.stack([torch.randperm(some.shape[1], generator=generator)[:met] for _ in range(count)])
    answers = torch.randint(0, ANSWERS, (count, met), generator=generator)
    look = torch.randint(0, 2, (count, 1), generator=generator)
    order = torch.rand(count, met, generator=generator).argsort(-1)[:, :asked]
    again = torch.zeros(count, 1, dtype=torch.int64) if asked == 1 else order
    told = torch.cat([F.one_hot(answers, ANSWERS), torch.zeros(count, met, 1)], -1)
    asks = torch.cat([torch.zeros(count, asked, ANSWERS), torch.ones(count, asked, 1)], -1)
    first, second = some[look, which], some[1 - look, which.gather(1, again)]
    x = torch.cat([torch.cat([first, told], -1), torch.cat([second, asks], -1)], 1)
    return x, answers.gather(1, again)


def readers() -> Mapping[str, Reader]:
    """Those with slots, a GRU of as many units as their controllers have, and one of as many numbers as they keep."""
    ntm, dnc = NeuralTuringMachine(SIZE), DifferentiableNeuralComputer(SIZE)
    kept = UNITS + numbers(ntm.memory)
    return {
        "NTM": Reader(UNITS, ntm),
        "DNC": Reader(UNITS, dnc),
        f"GRU of {UNITS} units": Reader(UNITS),
        f"GRU of {kept} units": Reader(kept),
    }


def run(
    run_seeds: Sequence[int] = SEEDS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
    steps: int = STEPS,
    clusters: tuple[int, int] = CLUSTERS,
) -> list[dict[str, Any]]:
    """Train every reader with every seed; shares of answers that are right, on streams of held-out clusters."""
    torch.set_num_threads(1)
    found = looks(clusters)
    tests = {
        back: streams(found.held_out, TEST_STREAMS, back + 1, 1, torch_generator(TEST_SEED, f"{back}"))
        for back in (0, AFTER // 2, AFTER)
    }
    right = {back: float(nearest(*test)) for back, test in tests.items()}
    rows: list[dict[str, Any]] = [_row("nearest look (keeps all)", {back: [x] for back, x in right.items()}, ())]
    for name, reader in readers().items():
        shares: dict[int, list[float]] = {back: [] for back in tests}
        for seed in run_seeds:
            net = learnt(reader, found.training, steps, seed)
            for back, (x, wanted) in tests.items():
                shares[back].append(float((reader.outputs(net, x)[:, -1].argmax(-1) == wanted[:, 0]).float().mean()))
            say(f"{name}, seed {seed}: " + ", ".join(f"after {back} others {x[-1]:.1%}" for back, x in shares.items()))
        rows.append(_row(name, shares, run_seeds))
        write(rows, out)
    return rows


def learnt(reader: Reader, some: Tensor, steps: int, seed: int, after: int = AFTER) -> Net:
    """Weights after so many steps, each on new streams of 2 to `after` + 1 clusters that ask for all of them."""

    def loss(net: Net, generator: torch.Generator) -> Tensor:
        met = int(torch.randint(2, after + 2, (1,), generator=generator))
        x, wanted = streams(some, BATCH, met, met, generator)
        return F.cross_entropy(reader.outputs(net, x)[:, met:].flatten(0, 1), wanted.flatten())

    return trained(reader, (FEATURES + ANSWERS + 1, ANSWERS), loss, steps, seed)


def nearest(x: Tensor, wanted: Tensor) -> Tensor:
    """The share that is right of who keeps every look, and answers by the one that is nearest."""
    met, asked = x[:, :-1], x[:, -1:, :FEATURES]
    which = (met[..., :FEATURES] - asked).square().sum(-1).argmin(-1)
    answers = met[torch.arange(len(x)), which, FEATURES : FEATURES + ANSWERS].argmax(-1)
    return (answers == wanted[:, 0]).float().mean()


def _row(name: str, shares: Mapping[int, list[float]], run_seeds: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "right": {str(back): x for back, x in shares.items()}, "seeds": list(run_seeds)}
