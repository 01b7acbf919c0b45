"""Random numbers of the model, in plain Python."""

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def scramble(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw(seed: int, step: int, node: int, number: int) -> float:
    key = scramble((scramble((seed + GOLDEN) & MASK) + step * GOLDEN) & MASK)
    return (scramble((key + (2 * node + number + 1) * GOLDEN) & MASK) >> 11) / 2**53
