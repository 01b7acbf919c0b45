#!/usr/bin/env bash
# Guess:   a numba function without parallel=True runs on one thread, the more so after numba.set_num_threads(1); where its
#          np.dot takes more, these are NumPy's.
# Really:  (numba 0.68.1, NumPy 2.4.6, SciPy 1.17.1) np.dot in compiled code is SciPy's own OpenBLAS, with as many threads
#          as there are cores, whatever numba's and NumPy's limits say. Products of 32 x 32 x 2048 go to several threads,
#          and where every core has other work, they take 2 to 60 times as long as on one thread.
# Matters: workers that share a machine, and pods whose CPU limit is below their node's cores, lose most of their time in
#          small products; only OPENBLAS_NUM_THREADS, or threadpoolctl on SciPy's library, helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'numba==0.68.1' 'numpy==2.4.6' 'scipy==1.17.1' 'threadpoolctl==3.8.0'
cat > "$folder/dot.py" <<'PY'
import multiprocessing
import os
import time

import numba
import numpy as np
import scipy
from threadpoolctl import ThreadpoolController


@numba.njit
def products(a, b, out, times):
    for _ in range(times):
        np.dot(a, b, out)


def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def seconds(*given):
    """The median time of 21 calls: the threads of a product must all have had their turn."""
    took = []
    for _ in range(21):
        begun = time.perf_counter()
        products(*given)
        took.append(time.perf_counter() - begun)
    return sorted(took)[10]


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    print(f"numba {numba.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}, {cores} cores")
    assert cores > 1, "needs two cores"
    numba.set_num_threads(1)
    a, b, out = (np.random.rand(*s).astype(np.float32) for s in ((32, 32), (32, 2048), (32, 2048)))
    products(a, b, out, 1)
    libraries = {("SciPy" if "scipy.libs" in x.filepath else "NumPy"): x for x in ThreadpoolController().lib_controllers
                 if x.user_api == "blas"}
    libraries["NumPy"].set_num_threads(1)
    print("threads:", {name: x.num_threads for name, x in libraries.items()})
    assert libraries["SciPy"].num_threads == cores, "the behaviour has changed"
    others = [multiprocessing.get_context("spawn").Process(target=busy, args=(12,)) for _ in range(cores)]
    [x.start() for x in others]
    time.sleep(3)
    many = seconds(a, b, out, 20)
    libraries["SciPy"].set_num_threads(1)
    one = seconds(a, b, out, 20)
    [x.join() for x in others]
    print(f"20 products beside {cores} busy processes: {many / one:.1f} times the time that they take on one thread")
    assert many > 1.5 * one, "the behaviour has changed"
PY
env -u OMP_NUM_THREADS -u OPENBLAS_NUM_THREADS "$folder/venv/bin/python" "$folder/dot.py"
