"""Small versions of what external memories are validated and benchmarked by."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import doing
from bench.context import measure as context_measure
from bench.context.cells import ClusterKind
from bench.context.results import CellOutcome
from bench.learners import memories, memories_report
from bench.validation import copying, recall, results
from bench.validation.copying import BAR, COPY, READERS, CopyCase, Copying, cost, learnt
from bench.validation.reader import Reader
from lwmecps_core.algorithms.external.addressing import MemorySize
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.training.sampling import torch_generator


def test_sequences_are_shown_once_and_wanted_as_often_as_is_said() -> None:
    task = Copying(3, (1, 4), (1, 3), most=3)
    some = task.draw(200, torch_generator(0, "sequences"))
    assert some.x.shape[-1], some.wanted.shape[-1] == task.sizes
    bits = 0
    for x, wanted, counts in zip(some.x, some.wanted, some.counts, strict=True):
        assert x[0, 3] == 1.0 and x[:, 3].sum() == 1.0
        mark = int(x[:, 4].nonzero())
        repeats, shown = round(3 * float(x[mark, 5])), x[1:mark, :3]
        told = torch.cat([shown.repeat(repeats, 1), torch.zeros(1, 3)])
        end = mark + 1 + repeats * len(shown)
        assert torch.equal(wanted[mark + 1 : end + 1, :3], told) and wanted[end, 3] == 1.0 == wanted[:, 3].sum()
        assert not x[mark + 1 :].any() and not counts[: mark + 1].any() and not counts[end + 1 :].any()
        assert counts[mark + 1 : end].all() and counts[end].tolist() == [0.0, 0.0, 0.0, 1.0]
        bits += 3 * len(shown) * repeats
    assert bits == some.bits


def test_who_knows_nothing_pays_one_bit_for_each() -> None:
    reader = READERS["DNC"]
    net = {name: torch.zeros_like(x) for name, x in reader.init(*COPY.sizes, torch.Generator()).items()}
    assert float(cost(reader, net, COPY.draw(20, torch_generator(0, "sequences")))) == pytest.approx(1.0)


def test_a_differentiable_neural_computer_learns_to_copy() -> None:
    case = CopyCase("copy", Copying(4, (1, 3)), {}, 500)
    reader = Reader(32, DifferentiableNeuralComputer(MemorySize(8, 8, 1)))
    net = learnt(reader, case, 0)
    assert float(cost(reader, net, case.task.draw(200, torch_generator(1, "held out")))) < BAR


def test_copying_is_measured_and_shown(tmp_path: Path) -> None:
    case = CopyCase("copy", COPY, {"7 vectors": replace(COPY, lengths=(7, 7))}, 2)
    rows = copying.run([case], (0, 1), tmp_path / "validation-copying.json")
    assert json.loads((tmp_path / "validation-copying.json").read_text())["rows"] == rows
    docs = tmp_path / "validation.md"
    docs.write_text("<!-- copying -->\n<!-- end -->\n")
    results.refresh(docs, tmp_path)
    assert "| copy, DNC | 1 (" in docs.read_text() and "7 vectors: 1 (" in docs.read_text()


def test_clusters_come_again_with_another_look_and_the_answer_of_this_stream() -> None:
    some = torch.arange(2 * 30 * recall.FEATURES, dtype=torch.float32).reshape(2, 30, -1)
    x, wanted = recall.streams(some, 50, 6, 6, torch_generator(0, "streams"))
    for stream, answers in zip(x, wanted, strict=True):
        met = {int(row[0]) % (30 * recall.FEATURES): row for row in stream[:6]}
        assert len(met) == 6 and not stream[:6, -1].any() and stream[6:, -1].all()
        for row, answer in zip(stream[6:], answers, strict=True):
            before = met[int(row[0]) % (30 * recall.FEATURES)]
            assert before[0] != row[0], "the other look"
            assert before[recall.FEATURES + int(answer)] == 1.0 and not row[recall.FEATURES : -1].any()
    first, _ = recall.streams(some, 50, 6, 1, torch_generator(0, "streams"))
    assert all(int(row[-1, 0] - row[0, 0]) % (30 * recall.FEATURES) == 0 for row in first), "the first one is asked for"


def test_a_differentiable_neural_computer_recognises_what_it_met_some_episodes_ago() -> None:
    """Clusters are points here, and two looks at one lie near each other; chance is a quarter."""
    generator = torch_generator(0, "points")
    points = torch.randn(1, 300, recall.FEATURES, generator=generator)
    looks = points + 0.2 * torch.randn(2, 300, recall.FEATURES, generator=generator)
    reader = Reader(32, DifferentiableNeuralComputer(MemorySize(8, 16, 1)))
    net = recall.learnt(reader, looks[:, :200], 500, 0, after=4)
    x, wanted = recall.streams(looks[:, 200:], 500, 5, 1, generator)
    assert recall.nearest(x, wanted) > 0.99
    assert float((reader.outputs(net, x)[:, -1].argmax(-1) == wanted[:, 0]).float().mean()) > 0.8


def test_recall_is_measured_against_who_keeps_every_look(tmp_path: Path) -> None:
    rows = recall.run((0,), tmp_path / "validation-recall.json", steps=2, clusters=(60, 40))
    names = [row["name"] for row in rows]
    assert names[1:3] == ["NTM", "DNC"] and len(names) == 5
    assert rows[0]["right"]["20"][0] > 0.6 > max(row["right"]["20"][0] for row in rows[1:])
    docs = tmp_path / "validation.md"
    docs.write_text("<!-- recall -->\n<!-- end -->\n")
    results.refresh(docs, tmp_path)
    assert "| DNC |" in docs.read_text() and "20 others since" in docs.read_text()


def test_memories_differ_from_the_learnt_one_in_their_cell_and_share_its_own(tmp_path: Path) -> None:
    every = memories.cells()
    assert len({c.key for c in every}) == len(every) == 5 * len(memories.MEMORIES)
    for cell in every:
        assert isinstance(cell.algorithm, PPOConfig)
        (own,) = (c for c in every if memories.name_of(c) == "gru" and c.seed == cell.seed)
        assert replace(cell, algorithm=replace(cell.algorithm, cell="gru"), method=own.method, also=own.also) == own
    done = doing.read(CellOutcome, doing.ROOT / "docs" / "context.json")
    assert any(c.key in done for c in every if memories.name_of(c) == "gru")
    few = [
        replace(
            cell,
            problem=ClusterKind(family="mec_city", nodes=2, deployments=2),
            tasks=3,
            algorithm=replace(cell.algorithm, hidden_size=(4, 4)),
            training=replace(cell.training, episodes_per_batch=1, tasks_per_batch=2),
        )
        for cell in memories.cells(2, episodes=4)
    ]
    outcomes, page = {c.key: context_measure.run(c) for c in few}, tmp_path / "learners.md"
    page.write_text("<!-- memories -->\nold\n<!-- end -->\nrest\n")
    memories_report.write(few, outcomes, page)
    text = page.read_text()
    assert "gru 2, ntm 2, dnc 2" in text and "**Episode 5 on" in text and text.endswith("rest\n") and "old" not in text
    found = {name: [outcomes[c.key].found[0].rewards for c in few if c.method == name] for name in memories.MEMORIES}
    means = {name: np.mean(x) for name, x in found.items()}
    row = next(line for line in text.splitlines() if line.startswith("| dnc:"))
    assert f"| {means['dnc']:.2f} |" in row and f"| {means['dnc'] - means['gru']:+.2f} [" in row
    memories_report.write([c for c in few if c.seed == 0], outcomes, page)
    assert "[" not in page.read_text(), "one seed is shown, and not compared"
