"""External memories against plain loops over the papers' equations, finite differences, and what nobody should send.

Random values are double; a memory that is some steps old is what those steps made of nothing.
"""

from collections.abc import Callable
from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.external import controlled, loops
from lwmecps_core.algorithms.external.addressing import (
    SMALL,
    Core,
    MemorySize,
    Parts,
    bounds,
    by_content,
    joined,
    numbers,
    split,
)
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer, allocation, linked, usage
from lwmecps_core.algorithms.external.ntm import FAINT, NeuralTuringMachine

SIZE = MemorySize(slots=5, width=3, reads=2)
CORES: list[Core] = [NeuralTuringMachine(SIZE), DifferentiableNeuralComputer(SIZE)]
both = pytest.mark.parametrize("core", CORES, ids=["ntm", "dnc"])
Row = list[float]


def _gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=_gen(seed), dtype=torch.float64) - 0.5) * 2 * scale


def _told(core: Core, *lead: int, seed: int = 0) -> Parts:
    return split(_random(*lead, numbers(core.interface), scale=2.0, seed=seed), core.interface)


def _after(core: Core, steps: int, *lead: int) -> Parts:
    """What is remembered after some steps."""
    memory = split(torch.zeros(*lead, numbers(core.memory), dtype=torch.float64), core.memory)
    for step in range(steps):
        memory = core.step(_told(core, *lead, seed=step + 10), memory)
    return memory


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x))


def _oneplus(x: float) -> float:
    return 1 + log(1 + exp(x))


def _softmax(x: Row) -> Row:
    powers = [exp(each) for each in x]
    return [power / sum(powers) for power in powers]


def _content(memory: list[Row], key: Row, strength: float) -> Row:
    """C(M, k, β): a softmax of cosine similarities, whose lengths have `SMALL` added."""

    def similarity(u: Row, v: Row) -> float:
        product = sum(a * b for a, b in zip(u, v, strict=True))
        return product / sqrt((sum(a * a for a in u) + SMALL) * (sum(b * b for b in v) + SMALL))

    return _softmax([strength * similarity(key, slot) for slot in memory])


def _write(memory: list[Row], weights: Row, erase: Row, add: Row) -> list[Row]:
    return [
        [m * (1 - by * e) + by * a for m, e, a in zip(slot, erase, add, strict=True)]
        for slot, by in zip(memory, weights, strict=True)
    ]


def _read(memory: list[Row], weights: Row) -> Row:
    return [sum(by * slot[w] for slot, by in zip(memory, weights, strict=True)) for w in range(len(memory[0]))]


def _slow_ntm(told: dict[str, list], before: dict[str, list]) -> dict[str, list]:  # type: ignore[type-arg]
    """Graves et al. 2014, section 3, equation by equation."""
    n = len(before["memory"])

    def addressed(head: int, memory: list[Row]) -> Row:
        strength = log(1 + exp(told["strengths"][head]))
        content, gate = _content(memory, told["keys"][head], strength), _logistic(told["gates"][head])  # (5), (6)
        was = list(before["weights"][head])
        was[0] += 1 - sum(was)  # a head that was nowhere is at the first slot
        gated = [gate * c + (1 - gate) * w for c, w in zip(content, was, strict=True)]  # (7)
        shift = dict(zip((-1, 0, 1), _softmax(told["shifts"][head]), strict=True))
        shifted = [0.0] * n
        for i in range(n):
            for j in range(n):
                for offset, share in shift.items():
                    if (i - j - offset) % n == 0:
                        shifted[i] += gated[j] * share  # (8)
        powers = [(w + FAINT) ** _oneplus(told["sharpness"][head]) for w in shifted]
        return [power / sum(powers) for power in powers]  # (9)

    by = addressed(0, before["memory"])
    memory = _write(before["memory"], by, [_logistic(e) for e in told["erase"]], told["add"])  # (3), (4)
    reading = [addressed(head, memory) for head in range(1, len(told["keys"]))]
    return {"memory": memory, "weights": [by, *reading], "reads": [_read(memory, w) for w in reading]}  # (2)


def _slow_dnc(told: dict[str, list], before: dict[str, list]) -> dict[str, list]:  # type: ignore[type-arg]
    """Graves et al. 2016, Methods, in the order of the paper's glossary."""
    n, reads = len(before["memory"]), len(told["read_keys"])
    kept = [1.0] * n
    for i in range(n):
        for r in range(reads):
            kept[i] *= 1 - _logistic(told["free_gates"][r]) * before["read_weights"][r][i]
    u, w = before["usage"], before["write_weights"]
    used = [(u[i] + w[i] - u[i] * w[i]) * kept[i] for i in range(n)]
    free = sorted(range(n), key=lambda i: (used[i], i))
    allocated = [0.0] * n
    for j in range(n):
        allocated[free[j]] = 1 - used[free[j]]
        for i in range(j):
            allocated[free[j]] *= used[free[i]]
    content = _content(before["memory"], told["write_key"], _oneplus(told["write_strength"][0]))
    writing, allocating = _logistic(told["write_gate"][0]), _logistic(told["allocation_gate"][0])
    by = [writing * (allocating * allocated[i] + (1 - allocating) * content[i]) for i in range(n)]
    memory = _write(before["memory"], by, [_logistic(e) for e in told["erase"]], told["write_vector"])
    p, old = before["precedence"], before["links"]
    links = [[0.0 if i == j else (1 - by[i] - by[j]) * old[i][j] + by[i] * p[j] for j in range(n)] for i in range(n)]
    precedence = [(1 - sum(by)) * p[i] + by[i] for i in range(n)]
    weights = []
    for r in range(reads):
        was, modes = before["read_weights"][r], _softmax(told["read_modes"][r])
        forwards = [sum(links[i][j] * was[j] for j in range(n)) for i in range(n)]
        backwards = [sum(links[j][i] * was[j] for j in range(n)) for i in range(n)]
        like = _content(memory, told["read_keys"][r], _oneplus(told["read_strengths"][r]))
        weights.append([modes[0] * backwards[i] + modes[1] * like[i] + modes[2] * forwards[i] for i in range(n)])
    return {
        "memory": memory,
        "usage": used,
        "precedence": precedence,
        "links": links,
        "write_weights": by,
        "read_weights": weights,
        "reads": [_read(memory, each) for each in weights],
    }


SLOW: dict[str, Callable[..., dict[str, list]]] = {"ntm": _slow_ntm, "dnc": _slow_dnc}  # type: ignore[type-arg]


@pytest.mark.parametrize("steps", [0, 1, 6])
@pytest.mark.parametrize(("core", "name"), list(zip(CORES, SLOW, strict=True)), ids=list(SLOW))
def test_a_step_is_what_the_equations_say(core: Core, name: str, steps: int) -> None:
    told, before = _told(core), _after(core, steps)
    expected = SLOW[name]({n: x.tolist() for n, x in told.items()}, {n: x.tolist() for n, x in before.items()})
    found = core.step(told, before)
    assert found.keys() == expected.keys() == core.memory.keys()
    for part, x in found.items():
        assert x.shape == core.memory[part]
        torch.testing.assert_close(x, torch.tensor(expected[part], dtype=torch.float64), msg=part)


def _given(core: Core, tasks: int = 1, steps: int = 3, rows: int = 2, units: int = 3) -> list[Tensor]:
    """Inputs, weights, and a state that is some steps old; all require gradients."""
    reads, told = core.size.reads * core.size.width, numbers(core.interface)
    shapes = ((tasks, steps, rows, 3 * units), (tasks, units, 3 * units), (tasks, reads, 3 * units))
    given = [_random(*shape, seed=i) for i, shape in enumerate(shapes)]
    given += [_random(tasks, units, told, scale=2.0, seed=3), _random(tasks, told, seed=4)]
    memory = joined(_after(core, 4, tasks, rows), core.memory)
    given.append(torch.cat([_random(tasks, rows, units, seed=5), memory], -1))
    return [x.requires_grad_() for x in given]


@both
def test_gradients_are_those_of_finite_differences(core: Core) -> None:
    given = _given(core)
    assert torch.autograd.gradcheck(lambda *x: controlled.stepped(core, *x), given)
    assert torch.autograd.gradcheck(lambda *x: loops.unrolled(core, controlled.stepped, *x), given)
    small = type(core)(MemorySize(3, 2, 1))  # type: ignore[call-arg]
    few = _given(small, steps=2, rows=1, units=2)
    assert torch.autograd.gradgradcheck(lambda *x: loops.unrolled(small, controlled.stepped, *x), few)


@both
@pytest.mark.parametrize(("tasks", "rows"), [(1, 3), (3, 3), (2, loops.BLOCK + 3)])
@pytest.mark.parametrize("known", [True, False])
def test_compiled_sequences_and_their_gradients_are_those_of_one_step_after_the_other(
    core: Core, tasks: int, rows: int, known: bool
) -> None:
    given = _given(core, tasks, steps=9, rows=rows, units=4)
    if not known:
        given[-1] = torch.zeros_like(given[-1], requires_grad=True)
    expected, found = controlled.stepped(core, *given), loops.unrolled(core, controlled.stepped, *given)
    torch.testing.assert_close(found, expected)
    for x, y in zip(found, loops.unrolled(core, controlled.stepped, *[x.detach() for x in given]), strict=True):
        assert torch.equal(x, y)  # what keeps nothing for gradients says the same
    pull = [_random(*x.shape, seed=7) for x in expected]
    wanted = torch.autograd.grad(expected, given, pull)
    torch.testing.assert_close(torch.autograd.grad(found, given, pull), wanted)
    single = [x.detach().float().requires_grad_() for x in given]
    shown, last = loops.unrolled(core, controlled.stepped, *single)
    torch.testing.assert_close((shown.double(), last.double()), expected, rtol=0.0, atol=1e-4)
    near = torch.autograd.grad((shown, last), single, [x.float() for x in pull])
    for x, y in zip(near, wanted, strict=True):
        assert float((x.double() - y).norm() / y.norm()) < 1e-3


@both
def test_an_empty_memory_gives_numbers_and_gradients_that_are_finite(core: Core) -> None:
    """A softmax over empty slots, lengths of 0, usage that is alike everywhere, weights of 0: in single precision."""
    for scale in (0.0, 1.0, 30.0):
        given = [(x.detach() * scale).float() for x in _given(core, steps=20)]
        given[-1] = torch.zeros_like(given[-1])
        for run in (controlled.stepped, lambda core, *x: loops.unrolled(core, controlled.stepped, *x)):
            live = [x.clone().requires_grad_() for x in given]
            shown, last = run(core, *live)
            grads = torch.autograd.grad(shown.sum() + last.sum(), live)
            assert all(x.isfinite().all() for x in (shown, last, *grads)), scale


def test_slots_and_keys_of_zeros_are_like_nothing_and_slots_alike_share() -> None:
    slots = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    empty = by_content(torch.zeros(3, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([9.0]))
    torch.testing.assert_close(empty, torch.full((1, 3), 1 / 3))
    torch.testing.assert_close(by_content(slots, torch.zeros(1, 2), torch.tensor([9.0])), torch.full((1, 3), 1 / 3))
    found = by_content(slots, torch.tensor([[1.0, 0.0]]), torch.tensor([9.0]))[0]
    assert found[2] > 0.999 and found[0] == found[1]


def test_of_slots_as_free_the_first_is_written_to_and_links_tell_the_order() -> None:
    assert allocation(torch.zeros(4)).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert allocation(torch.ones(4)).tolist() == [0.0, 0.0, 0.0, 0.0]
    some = allocation(torch.tensor([1.0, 0.25, 0.5, 0.25]))
    torch.testing.assert_close(some, torch.tensor([0.0, 0.75, 0.03125, 0.1875]))
    used, links, precedence = torch.zeros(4), torch.zeros(4, 4), torch.zeros(4)
    order = []
    for _ in range(3):
        by = allocation(used)
        links = linked(links, precedence, by)
        precedence = (1 - by.sum()) * precedence + by
        used = usage(used, by, torch.zeros(1, 4), torch.zeros(1))
        order.append(int(by.argmax()))
    assert order == [0, 1, 2]
    assert links[1, 0] == links[2, 1] == 1.0 and links.sum() == 2.0
    first = torch.eye(4)[0]
    assert (links @ first).tolist() == torch.eye(4)[1].tolist(), "forwards"
    assert (first @ links).sum() == 0.0, "nothing was written before the first"
    freed = usage(used, torch.zeros(4), torch.eye(4)[1:2], torch.ones(1))
    assert freed.tolist() == [1.0, 0.0, 1.0, 0.0] and allocation(freed).argmax() == 1


def test_a_head_goes_by_shifts_around_the_circle_from_the_first_slot_on() -> None:
    core = NeuralTuringMachine(MemorySize(4, 2, 1))
    memory = split(torch.zeros(numbers(core.memory)), core.memory)
    told = split(torch.zeros(numbers(core.interface)), core.interface)
    told["gates"] = torch.full((2,), -40.0)  # not by content
    told["sharpness"] = torch.full((2,), 5.0)
    places = []
    for shift in (1, 1, 0, 2, 2, 2):  # stay, stay, back, on, on, on
        told["shifts"] = torch.nn.functional.one_hot(torch.tensor([shift, 1]), 3).float() * 40
        memory = core.step(told, memory)
        places.append(int(memory["weights"][0].argmax()))
        assert memory["weights"][1].argmax() == 0
    assert places == [0, 0, 3, 0, 1, 2]


@both
def test_a_memory_that_never_was_is_bounded_and_one_that_was_is_left_as_it_is(core: Core) -> None:
    low, high = bounds(core)
    was = joined(_after(core, 9), core.memory).float()
    torch.testing.assert_close(was.clamp(low, high), was)
    told = {n: x.float() for n, x in _told(core).items()}
    for odd in (float("inf"), -float("inf"), 1e30, -3.0):
        now = torch.full_like(was, odd)
        for _ in range(3):
            now = joined(core.step(told, split(now.clamp(low, high), core.memory)), core.memory)
            assert now.isfinite().all(), odd
