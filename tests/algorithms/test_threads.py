import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import numpy
from threadpoolctl import threadpool_info
from lwmecps_core.algorithms import {module}

def threads():
    libraries = [x for x in threadpool_info() if x["user_api"] == "blas"]
    return {{("scipy" if "scipy.libs" in x["filepath"] else "numpy"): x["num_threads"] for x in libraries}}

before = threads()
{module}.{loop}()
print(json.dumps([before, threads()]))
"""


@pytest.mark.parametrize(
    ("module", "loop"),
    [("set_loops", "forwards"), ("set_loops", "backwards"), ("gru", "_forwards"), ("gru", "_backwards")],
)
def test_loops_with_products_begin_no_threads_of_blas(module, loop):
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    program = PROGRAM.format(module=module, loop=loop)
    said = subprocess.run([sys.executable, "-c", program], env=free, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    before, after = json.loads(said.stdout)
    if before.get("numpy", 1) == 1:
        pytest.skip("NumPy's BLAS has one thread here")
    assert after["scipy"] == 1
    assert after["numpy"] == before["numpy"]
