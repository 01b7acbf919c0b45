#!/usr/bin/env bash
# Guess:   safetensors' load(bytes) returns the tensors in the order of the file, as load_file does.
# Really:  (safetensors 0.8.0) load_file keeps the file's order; load, given the same bytes, returns another order in nearly
#          every call of one process.
# Matters: whoever walks over what was loaded (an optimiser's steps, a norm summed up tensor by tensor, a list of leaves
#          matched with another tree's) gets other last bits, or other pairs, each time: sort, or keep the order beside.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'safetensors==0.8.0' 'numpy==2.4.6'
cat > "$folder/order.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load, load_file, save

path = Path(sys.argv[1])
data = save({f"layer{i}": np.full(3, i, np.float32) for i in range(6)})
path.write_bytes(data)
orders = {tuple(load(data)) for _ in range(50)}
of_file = {tuple(load_file(path)) for _ in range(50)}
print("safetensors", safetensors.__version__)
print("orders in 50 calls: load", len(orders), "load_file", len(of_file))
print("for instance:", *next(iter(orders)))
assert len(orders) > 1 and len(of_file) == 1, "the behaviour has changed"
PY
"$folder/venv/bin/python" "$folder/order.py" "$folder/weights.safetensors"
