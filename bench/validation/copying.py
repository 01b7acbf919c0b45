"""Sequences to copy and to repeat: Neural Turing Machines and Differentiable Neural Computers, beside a GRU alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.validation.reader import Reader, trained
from bench.validation.results import RESULTS, write
from lwmecps_core.algorithms.external.addressing import MemorySize
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer
from lwmecps_core.algorithms.external.ntm import NeuralTuringMachine
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-copying.json"
SEEDS, TEST_SEED = (0, 1, 2), 800_000
BATCH, TEST_SEQUENCES, BAR = 32, 500, 0.01
UNITS, SIZE = 48, MemorySize(slots=16, width=8, reads=2)
READERS: Mapping[str, Reader] = {
    "NTM": Reader(UNITS, NeuralTuringMachine(SIZE)),
    "DNC": Reader(UNITS, DifferentiableNeuralComputer(SIZE)),
    "GRU alone": Reader(UNITS),
}


@dataclass(frozen=True)
class Sequences:
    """What is read `[B, T, I]`, the bits that are wanted `[B, T, O]`, and which of these count."""

    x: Tensor
    wanted: Tensor
    counts: Tensor
    bits: int
    """Of the sequences themselves."""


@dataclass(frozen=True)
class Copying:
    """Sequences of `lengths` random vectors of `width` bits, to be written out again `repeats` times.

    A mark comes before the sequence, and one after it that says how often; then nothing is shown any more. With more
    than one repeat an end is to be marked, too (Graves et al. 2014, arXiv:1410.5401, sections 4.1 and 4.2).
    """

    width: int
    lengths: tuple[int, int]
    repeats: tuple[int, int] = (1, 1)
    most: int = 1

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers that are read at a time, and that are written."""
        return self.width + 3, self.width + 1

    def draw(self, count: int, generator: torch.Generator) -> Sequences:
        """So many."""
        (a, b), (c, d), w, ends = self.lengths, self.repeats, self.width, self.most > 1
        length = torch.randint(a, b + 1, (count, 1), generator=generator)
        repeat = torch.randint(c, d + 1, (count, 1), generator=generator)
        at = torch.arange(b + 2 + b * d + ends).expand(count, -1) - 1
        bits = torch.randint(0, 2, (count, b, w), generator=generator).float()
        shown, mark, since = (at >= 0) & (at < length), at == length, at - length - 1
        repeated = (since >= 0) & (since < length * repeat)

        def vectors(where: Tensor, which: Tensor) -> Tensor:
            found = bits.gather(1, which.clamp(0, b - 1).unsqueeze(-1).expand(-1, -1, w))
            return found * where.unsqueeze(-1)

        end = (since == length * repeat) & ends
        marks = torch.stack([at == -1, mark, mark * repeat / self.most], -1)
        again = vectors(repeated, since.clamp(min=0) % length)
        counts = torch.stack([*[repeated] * w, (repeated & ends) | end], -1)
        x, wanted = torch.cat([vectors(shown, at), marks], -1), torch.cat([again, end.unsqueeze(-1)], -1)
        return Sequences(x, wanted, counts, int((length * repeat).sum()) * w)


def cost(reader: Reader, net: Net, some: Sequences) -> Tensor:
    """Bits that it takes to write the wanted sequences (and ends) with what is expected, for each bit of theirs."""
    out = reader.outputs(net, some.x)
    return (
        (F.binary_cross_entropy_with_logits(out, some.wanted, reduction="none") * some.counts).sum()
        / log(2)
        / some.bits
    )


@dataclass(frozen=True)
class CopyCase:
    """A kind of sequences to learn from, longer ones to look at, and for how many steps to learn."""

    name: str
    task: Copying
    longer: Mapping[str, Copying]
    steps: int


COPY, REPEAT = Copying(4, (1, 6)), Copying(4, (1, 4), (1, 3), most=3)
CASES = (
    CopyCase("copy", COPY, {f"{n} vectors": replace(COPY, lengths=(n, n)) for n in (8, 12)}, 1500),
    CopyCase(
        "repeat copy",
        REPEAT,
        {
            "6 vectors, 3 times": replace(REPEAT, lengths=(6, 6), repeats=(3, 3)),
            "4 vectors, 5 times": replace(REPEAT, lengths=(4, 4), repeats=(5, 5)),
        },
        2500,
    ),
)


def run(
    cases: Sequence[CopyCase] = CASES,
    run_seeds: Sequence[int] = SEEDS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train every reader on every case with every seed, and measure it on sequences that it has not seen."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for case in cases:
        tests = {name: task.draw(TEST_SEQUENCES, torch_generator(TEST_SEED, name)) for name, task in _tests(case)}
        for name, reader in READERS.items():
            found: dict[str, list[float]] = {test: [] for test in tests}
            for seed in run_seeds:
                net = learnt(reader, case, seed)
                for test, some in tests.items():
                    found[test].append(float(cost(reader, net, some)))
                say(f"{case.name}, {name}, seed {seed}: " + ", ".join(f"{k} {x[-1]:.4f}" for k, x in found.items()))
            rows.append({"name": f"{case.name}, {name}", "bits": found, "steps": case.steps, "seeds": list(run_seeds)})
            write(rows, out)
    return rows


def learnt(reader: Reader, case: CopyCase, seed: int) -> Net:
    """Weights after the case's steps, each on `BATCH` new sequences."""

    def loss(net: Net, generator: torch.Generator) -> Tensor:
        return cost(reader, net, case.task.draw(BATCH, generator))

    return trained(reader, case.task.sizes, loss, case.steps, seed)


def _tests(case: CopyCase) -> list[tuple[str, Copying]]:
    return [("as trained", case.task), *case.longer.items()]
