"""`dnc.DifferentiableNeuralComputer.step` of one row in compiled loops, and its gradients.

Parts of a row are vectors side by side in the order of `memory` and `interface` there. What is told is kept as it acts
(gates between 0 and 1); behind it vectors of S numbers: the order of usage, allocation and content of the write, and
for each read backwards, content and forwards.
"""

from typing import Any

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
from lwmecps_core.algorithms.loops import compiled, copy, inner, total


@compiled
def forwards(s: int, w: int, r: int, told: Any, before: Any, after: Any, kept: Any) -> None:
    """One step from `before` to `after`, both `[M]`, by what is `told` `[X]`; fills `kept`."""
    x, at, acts = len(told), r * w, kept[: len(told)]
    _acts(w, r, told, acts)
    key, strength, erase = r * w + r, r * w + r + w, r * w + r + w + 1
    vector, free = erase + w, erase + 2 * w
    slots, now = before[at : at + s * w], after[at : at + s * w]
    u, p, links, ww = at + s * w, at + s * w + s, at + s * w + 2 * s, at + s * w + 2 * s + s * s
    wr, used, by = ww + s, after[u : u + s], after[ww : ww + s]
    _usage(before[u : u + s], before[ww : ww + s], before[wr:], acts[free : free + r], used)
    order, allocated, content = kept[x : x + s], kept[x + s : x + 2 * s], kept[x + 2 * s : x + 3 * s]
    _allocate(used, order, allocated)
    by_content(slots, acts[key : key + w], acts[strength], content)
    allocating, writing = acts[free + r], acts[free + r + 1]
    for i in range(s):
        by[i] = writing * (content[i] + allocating * (allocated[i] - content[i]))
    written(slots, by, acts[erase : erase + w], acts[vector : vector + w], now)
    _link(before[links : links + s * s], before[p : p + s], by, after[links : links + s * s])
    left = acts.dtype.type(1) - total(by)
    for i in range(s):
        after[p + i] = left * before[p + i] + by[i]
    for k in range(r):
        room, modes = x + (3 + 3 * k) * s, acts[free + r + 2 + 3 * k : free + r + 5 + 3 * k]
        back, like, on = kept[room : room + s], kept[room + s : room + 2 * s], kept[room + 2 * s : room + 3 * s]
        _follow(after[links : links + s * s], before[wr + k * s : wr + (k + 1) * s], back, on)
        by_content(now, acts[k * w : (k + 1) * w], acts[r * w + k], like)
        reading = after[wr + k * s : wr + (k + 1) * s]
        for i in range(s):
            reading[i] = modes[0] * back[i] + modes[1] * like[i] + modes[2] * on[i]
        read(now, reading, after[k * w : (k + 1) * w])


@compiled
def _acts(w: int, r: int, told: Any, acts: Any) -> None:
    """What is told as it acts: strengths above 1, gates and what is erased between 0 and 1, modes that come to 1."""
    one, rw = acts.dtype.type(1), r * w
    copy(told, acts)
    softplus(told[rw : rw + r], one, acts[rw : rw + r])
    at = rw + r + w
    softplus(told[at : at + 1], one, acts[at : at + 1])
    logistic(told[at + 1 : at + 1 + w], acts[at + 1 : at + 1 + w])
    gates = at + 1 + 2 * w
    logistic(told[gates : gates + r + 2], acts[gates : gates + r + 2])
    for k in range(r):
        first = gates + r + 2 + 3 * k
        softmax(acts[first : first + 3])


@compiled
def _usage(before: Any, writing: Any, reading: Any, free: Any, used: Any) -> None:
    """See `dnc.usage`."""
    s, one = len(before), before.dtype.type(1)
    for i in range(s):
        used[i] = before[i] + writing[i] - before[i] * writing[i]
    for k in range(len(free)):
        gate, weights = free[k], reading[k * s : (k + 1) * s]
        for i in range(s):
            used[i] *= one - gate * weights[i]


@compiled
def _allocate(used: Any, order: Any, allocated: Any) -> None:
    """See `dnc.allocation`; `order` becomes the slots by usage, the first of those that are used alike first."""
    one, none = used.dtype.type(1), used.dtype.type(0)
    for i in range(len(used)):
        order[i] = i  # what isn't a number has no place, and leaves one as it is
    for i in range(len(used)):
        own, before = used[i], none
        for j in range(len(used)):
            before += one if used[j] < own or (used[j] == own and j < i) else none
        order[int(before)] = i
    below = one
    for i in range(len(used)):
        slot = int(order[i])
        allocated[slot] = (one - used[slot]) * below
        below *= used[slot]


@compiled
def _link(links: Any, precedence: Any, by: Any, after: Any) -> None:
    """See `dnc.linked`."""
    s, one = len(by), by.dtype.type(1)
    for i in range(s):
        was, now, own = links[i * s : (i + 1) * s], after[i * s : (i + 1) * s], by[i]
        for j in range(s):
            now[j] = (one - own - by[j]) * was[j] + own * precedence[j]
        now[i] = 0


@compiled
def _follow(links: Any, was: Any, back: Any, on: Any) -> None:
    """Where links lead from where a read was `[S]`: to what was written before that, and after."""
    s = len(was)
    back[:] = 0
    for i in range(s):
        row, by = links[i * s : (i + 1) * s], was[i]
        on[i] = inner(row, was)
        for j in range(s):
            back[j] += by * row[j]


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
    at, acts = r * w, kept[: len(told)]
    erase = r * w + r + w + 1
    vector, free = erase + w, erase + 2 * w
    u, p, links, ww = at + s * w, at + s * w + s, at + s * w + 2 * s, at + s * w + 2 * s + s * s
    of_told[:] = 0
    of_before[:] = 0
    _through_reads(s, w, r, acts, before, after, kept, of_after, of_before, of_told, work)
    by, of_by, was_last, of_was_last = (
        after[ww : ww + s],
        of_after[ww : ww + s],
        before[p : p + s],
        of_before[p : p + s],
    )
    left, of_left = acts.dtype.type(1) - total(by), inner(of_after[p : p + s], was_last)
    for i in range(s):
        of_was_last[i] += left * of_after[p + i]
        of_by[i] += of_after[p + i] - of_left
    was, of_was, g = before[links : links + s * s], of_before[links : links + s * s], of_after[links : links + s * s]
    _through_link(was, was_last, by, g, of_was, of_was_last, of_by)
    slots, of_slots = before[at : at + s * w], of_before[at : at + s * w]
    through_written(
        slots,
        by,
        acts[erase : erase + w],
        acts[vector : vector + w],
        of_after[at : at + s * w],
        of_slots,
        of_by,
        of_told[erase : erase + w],
        of_told[vector : vector + w],
    )
    used, of_used = after[u : u + s], of_after[u : u + s]
    _through_place(s, w, r, acts, kept, slots, used, of_by, of_slots, of_used, of_told, work)
    _through_usage(s, r, before[u:], of_used, acts[free : free + r], of_before[u:], of_told[free : free + r])
    _through_acts(w, r, told, acts, of_told)


@compiled
def _through_place(
    s: int,
    w: int,
    r: int,
    acts: Any,
    kept: Any,
    slots: Any,
    used: Any,
    of_by: Any,
    of_slots: Any,
    of_used: Any,
    of_told: Any,
    work: Any,
) -> None:
    """Gradients before where is written to: of the slots as they were, of usage, and of what is told."""
    x, free, key, strength = len(acts), r * w + r + 3 * w + 1, r * w + r, r * w + r + w
    order, allocated, content = kept[x : x + s], kept[x + s : x + 2 * s], kept[x + 2 * s : x + 3 * s]
    allocating, writing, of_content, of_allocated = acts[free + r], acts[free + r + 1], work[:s], work[s : 2 * s]
    for i in range(s):
        of_told[free + r] += of_by[i] * writing * (allocated[i] - content[i])
        of_told[free + r + 1] += of_by[i] * (content[i] + allocating * (allocated[i] - content[i]))
        of_allocated[i] = of_by[i] * writing * allocating
        of_content[i] = of_by[i] * writing - of_allocated[i]
    asked, of_key = acts[key : key + w], of_told[key : key + w]
    of_told[strength] += through_content(slots, asked, acts[strength], content, of_content, of_slots, of_key)
    _through_allocate(used, order, of_allocated, of_used, work[2 * s :])


@compiled
def _through_reads(
    s: int,
    w: int,
    r: int,
    acts: Any,
    before: Any,
    after: Any,
    kept: Any,
    of_after: Any,
    of_before: Any,
    of_told: Any,
    work: Any,
) -> None:
    """Gradients before all reads: of the slots and links as they are now, of where reads were, and of what is told."""
    x, at = len(acts), r * w
    links, free = at + s * w + 2 * s, r * w + r + 3 * w + 1
    wr = links + s * s + s
    now, of_now = after[at : at + s * w], of_after[at : at + s * w]
    linked, of_linked = after[links : links + s * s], of_after[links : links + s * s]
    for k in range(r):
        first = free + r + 2 + 3 * k
        modes, of_modes = acts[first : first + 3], of_told[first : first + 3]
        g = of_after[wr + k * s : wr + (k + 1) * s]
        through_read(now, after[wr + k * s : wr + (k + 1) * s], of_after[k * w : (k + 1) * w], of_now, g)
        room = x + (3 + 3 * k) * s
        back, like, on = kept[room : room + s], kept[room + s : room + 2 * s], kept[room + 2 * s : room + 3 * s]
        of_modes[0], of_modes[1], of_modes[2] = inner(g, back), inner(g, like), inner(g, on)
        of_back, of_like, of_on = work[:s], work[s : 2 * s], work[2 * s : 3 * s]
        for i in range(s):
            of_back[i], of_like[i], of_on[i] = modes[0] * g[i], modes[1] * g[i], modes[2] * g[i]
        key, of_key = acts[k * w : (k + 1) * w], of_told[k * w : (k + 1) * w]
        of_told[r * w + k] += through_content(now, key, acts[r * w + k], like, of_like, of_now, of_key)
        was, of_was = before[wr + k * s : wr + (k + 1) * s], of_before[wr + k * s : wr + (k + 1) * s]
        for i in range(s):
            row, of_row, here, ahead = linked[i * s : (i + 1) * s], of_linked[i * s : (i + 1) * s], was[i], of_on[i]
            of_was[i] += inner(row, of_back)
            for j in range(s):
                of_row[j] += here * of_back[j] + ahead * was[j]
                of_was[j] += ahead * row[j]


@compiled
def _through_link(links: Any, precedence: Any, by: Any, g: Any, of_links: Any, of_precedence: Any, of_by: Any) -> None:
    """Gradients before `_link`."""
    s, one = len(by), by.dtype.type(1)
    for i in range(s):
        was, of_was, of_now, own = (
            links[i * s : (i + 1) * s],
            of_links[i * s : (i + 1) * s],
            g[i * s : (i + 1) * s],
            by[i],
        )
        of_now[i] = 0
        found = by.dtype.type(0)
        for j in range(s):
            of_was[j] += of_now[j] * (one - own - by[j])
            of_precedence[j] += of_now[j] * own
            of_by[j] -= of_now[j] * was[j]
            found += of_now[j] * (precedence[j] - was[j])
        of_by[i] += found


@compiled
def _through_allocate(used: Any, order: Any, of_allocated: Any, of_used: Any, below: Any) -> None:
    """Gradients before `_allocate`, in which the order is held constant: each slot's usage is what its own allocation
    lacks, and a factor of those after it. `below` `[S]` is overwritten.
    """
    one, share, behind = used.dtype.type(1), used.dtype.type(1), used.dtype.type(0)
    for i in range(len(used)):
        below[i] = share
        share *= used[int(order[i])]
    for i in range(len(used) - 1, -1, -1):
        slot = int(order[i])
        of_used[slot] += below[i] * (behind - of_allocated[slot])
        behind = of_allocated[slot] * (one - used[slot]) + used[slot] * behind


@compiled
def _through_usage(s: int, r: int, before: Any, g: Any, free: Any, of_before: Any, of_free: Any) -> None:
    """Gradients before `_usage`; of all that was remembered the parts from `usage` on."""
    one, ww = before.dtype.type(1), 2 * s + s * s
    for i in range(s):
        was, by = before[i], before[ww + i]
        kept, together = one, was + by - was * by
        for k in range(r):
            others = one
            for m in range(r):
                if m != k:
                    others *= one - free[m] * before[ww + s + m * s + i]
            reading = ww + s + k * s + i
            of_free[k] -= g[i] * together * before[reading] * others
            of_before[reading] -= g[i] * together * free[k] * others
            kept *= one - free[k] * before[reading]
        of_before[i] += g[i] * kept * (one - by)
        of_before[ww + i] += g[i] * kept * (one - was)


@compiled
def _through_acts(w: int, r: int, told: Any, acts: Any, of_told: Any) -> None:
    """In place: gradients of what acts become those of what was told."""
    rw = r * w
    strengths, at = of_told[rw : rw + r], rw + r + w
    through_softplus(strengths, told[rw : rw + r], strengths)
    strength, erase, gates = of_told[at : at + 1], of_told[at + 1 : at + 1 + w], at + 1 + 2 * w
    through_softplus(strength, told[at : at + 1], strength)
    through_logistic(erase, acts[at + 1 : at + 1 + w], erase)
    of_gates = of_told[gates : gates + r + 2]
    through_logistic(of_gates, acts[gates : gates + r + 2], of_gates)
    for k in range(r):
        first = gates + r + 2 + 3 * k
        of_modes = of_told[first : first + 3]
        through_softmax(acts[first : first + 3], of_modes, of_modes)
