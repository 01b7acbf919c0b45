"""Compiled loops over the bytes of text: fields of tables, elements of JSON, numbers, times, and sums on a grid.

All of it stands in one module, because Numba does not notice that what a cached function calls elsewhere has changed.
"""

from typing import Any

import numpy as np
from numba import njit

QUOTE, NEWLINE, RETURN, SPACE, TAB = 34, 10, 13, 32, 9
ZERO, NINE, PLUS, MINUS, POINT, COLON = 48, 57, 43, 45, 46, 58
COMMA, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 44, 92, 91, 93, 123, 125
AT, DEPTH, QUOTED, INSIDE, BEGUN, ENDED = range(6)
"""What `elements` knows of the bytes before: the next byte, brackets that are open, whether it is in a string, and in a
list that is meant, where the last string (or, in such a list, the element) began, and where the last string ended."""
TENS = 10.0 ** np.arange(23)
"""Powers of ten that are exact."""
REFUSE, SUM, MEAN, MAX, LAST = range(5)
"""What becomes of two values for one step."""


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@_compiled
def split(data: Any, size: int, final: bool, delimiter: int, slots: Any, starts: Any, ends: Any, lines: Any) -> Any:
    """Where the fields of whole rows begin and end in `data[:size]`, of the columns with a slot in `starts` and `ends`.

    `lines[r]` is how many lines stand before row r. Returns rows, bytes used, lines used, and of the first row with
    another number of fields than `slots` that number (else 0; −1: a quote that nothing
    closes, or text behind one). Blank lines are no rows.
    """
    columns, row, used, line, i = len(slots), 0, 0, 0, 0
    while i < size and row < len(lines):
        field, first, last, begun = 0, i, i, line
        whole = False
        while not whole:
            first = i
            if i < size and data[i] == QUOTE:
                first = i = i + 1
                while i < size and (data[i] != QUOTE or (i + 1 < size and data[i + 1] == QUOTE)):
                    line += data[i] == NEWLINE
                    i += 2 if data[i] == QUOTE else 1
                last = i = min(i, size)
                if i == size:
                    return row, used, begun, -1 if final else 0
                i += 1
                while i < size and data[i] != delimiter and data[i] != NEWLINE:
                    if data[i] != RETURN and data[i] != SPACE:
                        return row, used, begun, -1
                    i += 1
            else:
                while i < size and data[i] != delimiter and data[i] != NEWLINE:
                    i += 1
                last = i
                if last > first and data[last - 1] == RETURN and (i == size or data[i] == NEWLINE):
                    last -= 1
            if i == size and not final:
                return row, used, begun, 0
            if field < columns and slots[field] >= 0:
                starts[row, slots[field]] = first
                ends[row, slots[field]] = last
            field += 1
            whole = i == size or data[i] == NEWLINE
            line += whole
            i += 1
        i = min(i, size)
        blank = field == 1 and last == first
        if field != columns and not blank:
            lines[row] = begun
            return row, used, begun, field
        if not blank:
            lines[row] = begun
            row += 1
        used = i
    return row, used, line, 0


@_compiled
def _trimmed(data: Any, start: int, end: int) -> Any:
    while start < end and (data[start] == SPACE or data[start] == TAB):
        start += 1
    while start < end and (data[end - 1] == SPACE or data[end - 1] == TAB):
        end -= 1
    return start, end


@_compiled
def _number(data: Any, i: int, end: int) -> float:
    """A decimal number, NaN where there is none; exact to the last digit or the one before."""
    sign, digits, shift, seen = 1.0, 0, 0, False
    if i < end and (data[i] == MINUS or data[i] == PLUS):
        sign = -1.0 if data[i] == MINUS else 1.0
        i += 1
    point = False
    whole: Any = np.int64(0)
    while i < end:
        c = data[i]
        if ZERO <= c <= NINE:
            seen = True
            if digits < 18:
                whole = whole * 10 + np.int64(c - ZERO)
                digits += whole > 0
                shift -= point
            else:
                shift += not point
        elif c == POINT and not point:
            point = True
        else:
            break
        i += 1
    if not seen:
        return np.nan
    if i < end and (data[i] == 101 or data[i] == 69):  # e, E
        i += 1
        down = i < end and data[i] == MINUS
        i += i < end and (data[i] == MINUS or data[i] == PLUS)
        exponent: Any = 0
        seen = False
        while i < end and ZERO <= data[i] <= NINE:
            exponent = min(exponent * 10 + np.int64(data[i] - ZERO), 10_000)
            seen = True
            i += 1
        if not seen:
            return np.nan
        shift += -exponent if down else exponent
    if i != end:
        return np.nan
    mantissa = float(whole)
    if shift < 0:
        mantissa = mantissa / TENS[-shift] if shift >= -22 else mantissa * 10.0**shift
    elif shift > 0:
        mantissa = mantissa * TENS[shift] if shift <= 22 else mantissa * 10.0**shift
    return sign * mantissa


@_compiled
def numbers(data: Any, starts: Any, ends: Any, least: float, out: Any) -> Any:
    """Fill `out` `[R, C]`, empty fields as NaN; the flat index of the first that is no number ≥ `least`, or −1."""
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            start, end = _trimmed(data, starts[r, c], ends[r, c])
            if end - start == 1 and ZERO <= data[start] <= NINE:
                out[r, c] = float(data[start] - ZERO)
                continue
            value = np.nan
            if start < end:
                value = _number(data, start, end)
                if not least <= value < np.inf:
                    return r * out.shape[1] + c
            out[r, c] = value
    return -1


@_compiled
def elements(data: Any, key: Any, depth: int, state: Any, starts: Any, ends: Any) -> int:
    """Where elements begin and end of the JSON list that stands under `key` inside of `depth` brackets; how many.

    Goes on where `state` says, until such a list begins or ends, `starts` is full, or there are no more bytes.
    """
    i, depth_now, quoted, inside, begun, ended = state
    count, was, size = 0, inside, len(data)
    while i < size and count < len(starts) and inside == was:
        c = data[i]
        if quoted:
            if c == BACKSLASH:
                i += 1  # what it escapes, which may be the next piece's first byte
            elif c == QUOTE:
                quoted, ended = 0, ended if was else i
        elif c == QUOTE:
            quoted, begun = 1, begun if was else i + 1
        elif c in (OPEN_LIST, OPEN_OBJECT):
            if not was and c == OPEN_LIST and depth_now == depth and _under(data, key, begun, ended, i):
                inside, begun = 1, i + 1
            depth_now += 1
        elif c in (CLOSE_LIST, CLOSE_OBJECT) or (c == COMMA and was and depth_now == depth + 1):
            depth_now -= c != COMMA
            if was and (c == COMMA or depth_now == depth):
                start, end = _trimmed(data, begun, i)
                if start < end or data[begun - 1] == COMMA or c == COMMA:  # else: an empty list
                    starts[count], ends[count] = begun, i
                    count += 1
                inside, begun = c == COMMA, i + 1
        i += 1
    state[:] = i, depth_now, quoted, inside, begun, ended
    return count


@_compiled
def _under(data: Any, key: Any, begun: int, ended: int, i: int) -> bool:
    """Whether the value at byte i is that of `key`: the last string is the key, and a colon stands behind it."""
    if ended - begun != len(key):
        return False
    for k in range(len(key)):
        if data[begun + k] != key[k]:
            return False
    while ended < i and data[ended] != COLON:
        ended += 1
    return ended < i


@_compiled
def samples(data: Any, i: int, out: Any) -> Any:
    """Pairs of a number and a number in quotes, `[[1, "2"], …]` from byte i, as `out` `[S, 2]`.

    Returns how many, and the byte behind the list; −1 and 0 where something else stands.
    """
    count = 0
    i = _past(data, i + 1)
    while i < len(data) and data[i] == OPEN_LIST and count < len(out):
        i = start = _past(data, i + 1)
        while i < len(data) and data[i] != COMMA and data[i] > SPACE:
            i += 1
        out[count, 0] = _number(data, start, i)
        i = _past(data, i)
        if i >= len(data) or data[i] != COMMA:
            return -1, 0
        i = _past(data, i + 1)
        if i >= len(data) or data[i] != QUOTE:
            return -1, 0
        i = start = i + 1
        while i < len(data) and data[i] != QUOTE:
            i += 1
        out[count, 1] = _number(data, start, i)
        i = _past(data, i + 1)
        if i >= len(data) or data[i] != CLOSE_LIST or not np.isfinite(out[count, 0]):
            return -1, 0
        if not 0.0 <= out[count, 1] < np.inf:
            return -1, 0
        count += 1
        i = _past(data, i + 1)
        if i < len(data) and data[i] == COMMA:
            i = _past(data, i + 1)
            if i >= len(data) or data[i] != OPEN_LIST:
                return -1, 0
        elif i >= len(data) or data[i] != CLOSE_LIST:
            return -1, 0
    return (count, i + 1) if i < len(data) and data[i] == CLOSE_LIST else (-1, 0)


@_compiled
def _past(data: Any, i: int) -> int:
    """The first byte from i on that is no white space."""
    while i < len(data) and (data[i] == SPACE or data[i] == NEWLINE or data[i] == RETURN or data[i] == TAB):
        i += 1
    return i


@_compiled
def _two(data: Any, i: int, end: int, most: int) -> Any:
    if i + 2 > end or not (ZERO <= data[i] <= NINE and ZERO <= data[i + 1] <= NINE):
        return -1
    value = 10 * (int(data[i]) - ZERO) + int(data[i + 1]) - ZERO
    return value if value <= most else -1


@_compiled
def _zone(data: Any, i: int, end: int) -> Any:
    """Seconds east of Greenwich, and 1, of `Z`, `+02:00`, `+0200`, `+02`; 0 and 0 of nothing; 0 and −1 of others."""
    if i == end:
        return 0, 0
    if end - i == 1 and (data[i] == 90 or data[i] == 122):  # Z
        return 0, 1
    if data[i] != PLUS and data[i] != MINUS:
        return 0, -1
    hours, rest = _two(data, i + 1, end, 23), i + 3
    rest += rest < end and data[rest] == COLON
    minutes = 0 if rest == end else _two(data, rest, end, 59)
    if hours < 0 or minutes < 0 or rest + 2 < end:
        return 0, -1
    east = 3600 * hours + 60 * minutes
    return (east if data[i] == PLUS else -east), 1


@_compiled
def _date(data: Any, i: int, end: int) -> Any:
    """Days since 1970 of `YYYY-MM-DD`; below −10⁶ where that is no date."""
    century, year = _two(data, i, end, 99), _two(data, i + 2, end, 99)
    month, day = _two(data, i + 5, end, 12), _two(data, i + 8, end, 31)
    if min(century, year) < 0 or month < 1 or day < 1 or data[i + 4] != MINUS or data[i + 7] != MINUS:
        return -10_000_000
    year += 100 * century
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if day > 30 + (month + month // 8) % 2 - (0 if month != 2 else (1 if leap else 2)):
        return -10_000_000
    shifted = year - (month <= 2)  # years that begin in March (H. Hinnant, days_from_civil)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468


@_compiled
def iso_times(data: Any, starts: Any, ends: Any, out: Any, zoned: Any) -> int:
    """Seconds since 1970 of ISO 8601 dates and times `[R]`, and whether each has a zone (else: as if it were UTC).

    Returns the index of the first that is none, or −1.
    """
    for r in range(len(out)):
        i, end = _trimmed(data, starts[r], ends[r])
        days = _date(data, i, end) if end - i >= 10 else -10_000_000
        if days < -1_000_000:
            return r
        i += 10
        seconds = 0.0
        if i < end:
            if (data[i] != 84 and data[i] != SPACE) or i + 6 > end or data[i + 3] != COLON:  # T
                return r
            hour, minute = _two(data, i + 1, end, 23), _two(data, i + 4, end, 59)
            i += 6
            second = 0.0
            if i < end and data[i] == COLON:
                second = float(_two(data, i + 1, end, 59))
                i += 3
                if i < end and data[i] == POINT:
                    stop = i + 1
                    while stop < end and ZERO <= data[stop] <= NINE:
                        stop += 1
                    second = second + _number(data, i, stop) if second >= 0.0 else second
                    i = stop
            if hour < 0 or minute < 0 or not second >= 0.0:
                return r
            seconds = 3600.0 * hour + 60.0 * minute + second
            while i < end and data[i] == SPACE:
                i += 1
        east, found = _zone(data, i, end)
        if found < 0:
            return r
        out[r] = 86_400.0 * days + seconds - east
        zoned[r] = found
    return -1


@_compiled
def hashes(data: Any, starts: Any, ends: Any, out: Any) -> None:
    """64-bit hashes (FNV-1a, mixed) of the texts in all columns of `starts` together `[R]`."""
    for r in range(len(out)):
        h = np.uint64(14_695_981_039_346_656_037)
        for c in range(starts.shape[1]):
            for i in range(starts[r, c], ends[r, c]):
                h = (h ^ np.uint64(data[i])) * np.uint64(1_099_511_628_211)
            h = (h ^ np.uint64(256)) * np.uint64(1_099_511_628_211)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(18_397_679_294_719_823_053)
        out[r] = h ^ (h >> np.uint64(29))


@_compiled
def accumulate(
    values: Any, steps: Any, series: Any, columns: Any, shared: bool, how: int, cells: Any, counts: Any, newest: Any
) -> Any:
    """Add values `[R, C]` to `cells[step, column]`; NaN is no value, and a column below 0 is left out.

    `newest` is the last step of each series so far; of columns that series share, a value is a second one where its
    series has that step already. Returns how many values were earlier than one before, the row of the first of these,
    and the flat index of the first that is a second one where that is refused (else −1).
    """
    early, first_early = 0, -1
    for r in range(values.shape[0]):
        for c in range(values.shape[1]):
            value, step, column, one = values[r, c], steps[r, c], columns[r, c], series[r, c]
            if column < 0 or np.isnan(value):
                continue
            taken = newest[one] == step if shared else counts[step, column] > 0
            if taken and how == REFUSE:
                return early, first_early, r * values.shape[1] + c
            if how == MAX:
                cells[step, column] = max(cells[step, column], value) if counts[step, column] else value
            elif how == LAST:
                cells[step, column] = value
            else:
                cells[step, column] += value
            counts[step, column] += 1
            if step < newest[one]:
                first_early = r if first_early < 0 else first_early
                early += 1
            newest[one] = max(newest[one], step)
    return early, first_early, -1


@_compiled
def add_up(values: Any, series: Any, totals: Any) -> None:
    """Add values `[R, C]` to `totals[series]`; NaN is no value."""
    for r in range(values.shape[0]):
        for c in range(values.shape[1]):
            if not np.isnan(values[r, c]):
                totals[series[r, c]] += values[r, c]
