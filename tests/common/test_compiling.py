"""Processes that start together compile a loop once."""

import os
import subprocess
import sys
from pathlib import Path

LOOPS = """
import sys
from pathlib import Path
from lwmecps_core.compiling import kept

def total(n):
    found = 0.0
    for i in range(n):
        found += i
    return found

loop = kept(total)
(Path(sys.argv[1]) / sys.argv[2]).touch()
while len(list(Path(sys.argv[1]).iterdir())) < 3:
    pass
assert loop(4) == 6.0 and loop(5) == 10.0
print(sum(loop._dispatcher.stats.cache_misses.values()))
"""


def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    script, ready = tmp_path / "loops.py", tmp_path / "ready"
    script.write_text(LOOPS)
    ready.mkdir()
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, script, ready, str(i)], stdout=subprocess.PIPE, text=True, env=env)
        for i in range(3)
    ]
    misses = [int(each.communicate(timeout=120)[0]) for each in started]
    assert [each.returncode for each in started] == [0, 0, 0]
    assert sorted(misses) == [0, 0, 1]


def test_a_loop_is_called_where_its_folder_takes_no_lock(tmp_path: Path, monkeypatch) -> None:
    from lwmecps_core import compiling

    def refused(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr(compiling, "FileLock", refused)
    assert compiling.kept(_double)(21) == 42


def _double(x):
    return 2 * x
