"""The suites in `lwmecps_core.testing` say what is missing where pytest is."""

import subprocess
import sys


def test_without_pytest_the_suites_say_what_they_need() -> None:
    code = "import sys; sys.modules['pytest'] = None; import lwmecps_core.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip().splitlines()[-1]
        == "ImportError: lwmecps_core.testing holds tests for pytest: pip install pytest"
    )


def test_no_module_of_the_library_needs_them() -> None:
    code = "import sys; sys.modules['pytest'] = None; import lwmecps_core.training"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
