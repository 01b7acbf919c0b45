#!/usr/bin/env bash
# Guess:   on one thread, torch.linalg.lstsq of the same full-rank system gives the same bits every time.
# Really:  (torch 2.13.0, CPU) its default driver, gelsy, gives about a dozen different solutions in 300 calls, which
#          differ in their last bits: the order in which it first looks at the columns depends on what was in memory
#          before. gels and gelsd give one solution each.
# Matters: whatever promises bit-equal resumption, or hashes its results, must name the driver (for full rank: gels).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
cat > "$folder/lstsq.py" <<'PY'
import torch

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
matrix, goal = torch.randn(6, 5, generator=generator), torch.randn(6, 1, generator=generator)


def solutions(driver: str) -> int:
    """How many different answers 300 calls give while other tensors come and go."""
    found = set()
    for _ in range(300):
        others = [torch.randint(-9, 9, (n,), dtype=torch.int32) for n in range(1, 40)]
        del others
        found.add(torch.linalg.lstsq(matrix, goal, driver=driver).solution.numpy().tobytes())
    return len(found)


print("torch", torch.__version__, "rank", int(torch.linalg.matrix_rank(matrix)))
counts = {driver: solutions(driver) for driver in ("gelsy", "gels", "gelsd")}
print("different solutions of one system:", counts)
assert counts["gelsy"] > 1 and counts["gels"] == counts["gelsd"] == 1, "the behaviour has changed"
PY
"$folder/venv/bin/python" "$folder/lstsq.py"
