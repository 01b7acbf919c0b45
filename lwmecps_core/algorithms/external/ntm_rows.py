"""`ntm.NeuralTuringMachine.step` of one row in compiled loops, and its gradients.

Parts of a row are vectors side by side in the order of `memory` and `interface` there. What is told is kept as it acts
(gates between 0 and 1); behind it `KEPT` vectors of S numbers for each head: by content, gated, shifted.
"""

from typing import Any

import numpy as np

from lwmecps_core.algorithms.external.ntm import FAINT
from lwmecps_core.algorithms.external.rows import (
    by_content,
    logistic,
    read,
    softmax,
    softplus,
    through_content,
    through_logistic,
    through_read,
    through_softmax,
    through_softplus,
    through_written,
    written,
)
from lwmecps_core.algorithms.loops import compiled, copy, log, total

KEPT = 3


@compiled
def forwards(s: int, w: int, r: int, told: Any, before: Any, after: Any, kept: Any) -> None:
    """One step from `before` to `after`, both `[M]`, by what is `told` `[X]`; fills `kept`."""
    reads, memory, heads = r * w, s * w, r + 1
    acts = kept[: len(told)]
    _acts(w, heads, told, acts)
    slots = after[reads : reads + memory]
    _address(s, w, heads, 0, acts, before[reads : reads + memory], before[reads + memory :], after, kept)
    ends = heads * (w + 6)
    by = after[reads + memory : reads + memory + s]
    written(before[reads : reads + memory], by, acts[ends : ends + w], acts[ends + w :], slots)
    for head in range(1, heads):
        _address(s, w, heads, head, acts, slots, before[reads + memory :], after, kept)
        at = reads + memory + head * s
        read(slots, after[at : at + s], after[(head - 1) * w : head * w])


@compiled
def _acts(w: int, heads: int, told: Any, acts: Any) -> None:
    """What is told as it acts: strengths above 0, gates and what is erased between 0 and 1, shifts that come to 1."""
    of, at = acts.dtype.type, heads * w
    copy(told, acts)
    softplus(told[at : at + heads], of(0), acts[at : at + heads])
    logistic(told[at + heads : at + 2 * heads], acts[at + heads : at + 2 * heads])
    for head in range(heads):
        first = at + 2 * heads + 3 * head
        softmax(acts[first : first + 3])
    softplus(told[at + 5 * heads : at + 6 * heads], of(1), acts[at + 5 * heads : at + 6 * heads])
    logistic(told[at + 6 * heads : at + 6 * heads + w], acts[at + 6 * heads : at + 6 * heads + w])


@compiled
def _address(s: int, w: int, heads: int, head: int, acts: Any, slots: Any, were: Any, after: Any, kept: Any) -> None:
    """Where a head goes, into its weights in `after`."""
    of, at = acts.dtype.type, heads * w
    room = len(acts) + 3 * s * head
    content, gated, shifted = kept[room : room + s], kept[room + s : room + 2 * s], kept[room + 2 * s : room + 3 * s]
    by_content(slots, acts[head * w : (head + 1) * w], acts[at + head], content)
    gate, was = acts[at + heads + head], were[head * s : (head + 1) * s]
    rest = max(of(1) - total(was[1:]), of(0))
    gated[0] = rest + gate * (content[0] - rest)
    for i in range(1, s):
        gated[i] = was[i] + gate * (content[i] - was[i])
    shifts = acts[at + 2 * heads + 3 * head : at + 2 * heads + 3 * head + 3]
    first = len(after) - heads * s + head * s
    now, sharpness = after[first : first + s], acts[at + 5 * heads + head]
    for i in range(s):
        moved = gated[i + 1 if i + 1 < s else 0] * shifts[0] + gated[i] * shifts[1] + gated[i - 1] * shifts[2]
        shifted[i] = moved + of(FAINT)
    copy(shifted, now)
    log(now)
    for i in range(s):
        now[i] *= sharpness
    softmax(now)


@compiled
def backwards(
    s: int,
    w: int,
    r: int,
    told: Any,
    before: Any,
    after: Any,
    kept: Any,
    of_after: Any,
    of_before: Any,
    of_told: Any,
    work: Any,
) -> None:
    """Gradients `of_before` and `of_told` (written) from those `of_after`, which is overwritten. `work`: 3 · S."""
    reads, memory, heads = r * w, s * w, r + 1
    acts, slots = kept[: len(told)], after[reads : reads + memory]
    of_slots, of_were = of_after[reads : reads + memory], of_before[reads + memory :]
    of_told[:] = 0
    of_before[:] = 0
    for head in range(1, heads):
        at = reads + memory + head * s
        through_read(slots, after[at : at + s], of_after[(head - 1) * w : head * w], of_slots, of_after[at : at + s])
        _through_address(
            s, w, heads, head, acts, slots, before, after, kept, of_after, of_slots, of_were, of_told, work
        )
    ends, at = heads * (w + 6), reads + memory
    was, of_was = before[reads : reads + memory], of_before[reads : reads + memory]
    erase, vector = acts[ends : ends + w], acts[ends + w :]
    of_erase, of_vector = of_told[ends : ends + w], of_told[ends + w :]
    by, of_by = after[at : at + s], of_after[at : at + s]
    through_written(was, by, erase, vector, of_slots, of_was, of_by, of_erase, of_vector)
    _through_address(s, w, heads, 0, acts, was, before, after, kept, of_after, of_was, of_were, of_told, work)
    _through_acts(w, heads, told, acts, of_told)


@compiled
def _through_address(
    s: int,
    w: int,
    heads: int,
    head: int,
    acts: Any,
    slots: Any,
    before: Any,
    after: Any,
    kept: Any,
    of_after: Any,
    of_slots: Any,
    of_were: Any,
    of_acts: Any,
    work: Any,
) -> None:
    """Gradients before `_address`, from those of the head's weights in `of_after`."""
    of, at = acts.dtype.type, heads * w
    room, first = len(acts) + 3 * s * head, len(after) - heads * s + head * s
    content, gated, shifted = kept[room : room + s], kept[room + s : room + 2 * s], kept[room + 2 * s : room + 3 * s]
    of_powers, of_shifted, of_gated = work[:s], work[s : 2 * s], work[2 * s : 3 * s]
    through_softmax(after[first : first + s], of_after[first : first + s], of_powers)
    sharpness, of_sharpness = acts[at + 5 * heads + head], of(0)
    for i in range(s):
        of_sharpness += of_powers[i] * np.log(shifted[i])
        of_shifted[i] = of_powers[i] * sharpness / shifted[i]
    of_acts[at + 5 * heads + head] += of_sharpness
    shift = at + 2 * heads + 3 * head
    shifts, of_shifts = acts[shift : shift + 3], of_acts[shift : shift + 3]
    for i in range(s):
        on, back = i + 1 if i + 1 < s else 0, i - 1 if i > 0 else s - 1
        of_shifts[0] += of_shifted[i] * gated[on]
        of_shifts[1] += of_shifted[i] * gated[i]
        of_shifts[2] += of_shifted[i] * gated[back]
        of_gated[i] = of_shifted[back] * shifts[0] + of_shifted[i] * shifts[1] + of_shifted[on] * shifts[2]
    gate, was = acts[at + heads + head], before[first : first + s]
    left = of(1) - total(was[1:])
    rest, of_rest = (left, of_gated[0] * (of(1) - gate)) if left >= of(0) else (of(0), of(0))
    of_content, of_gate = of_powers, of_gated[0] * (content[0] - rest)
    for i in range(1, s):
        of_gate += of_gated[i] * (content[i] - was[i])
        of_were[head * s + i] += of_gated[i] * (of(1) - gate) - of_rest
    of_acts[at + heads + head] += of_gate
    for i in range(s):
        of_content[i] = gate * of_gated[i]
    key, of_key = acts[head * w : (head + 1) * w], of_acts[head * w : (head + 1) * w]
    of_acts[at + head] += through_content(slots, key, acts[at + head], content, of_content, of_slots, of_key)


@compiled
def _through_acts(w: int, heads: int, told: Any, acts: Any, of_told: Any) -> None:
    """In place: gradients of what acts become those of what was told."""
    at, three = heads * w, acts[:3]
    strengths, sharp = of_told[at : at + heads], of_told[at + 5 * heads : at + 6 * heads]
    through_softplus(strengths, told[at : at + heads], strengths)
    through_softplus(sharp, told[at + 5 * heads : at + 6 * heads], sharp)
    gates = of_told[at + heads : at + 2 * heads]
    through_logistic(gates, acts[at + heads : at + 2 * heads], gates)
    for head in range(heads):
        first = at + 2 * heads + 3 * head
        three, of_three = acts[first : first + 3], of_told[first : first + 3]
        through_softmax(three, of_three, of_three)
    erase = of_told[at + 6 * heads : at + 6 * heads + w]
    through_logistic(erase, acts[at + 6 * heads : at + 6 * heads + w], erase)
