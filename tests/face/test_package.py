"""What `import lwmecps_core` offers, what it costs, and what it does to Gymnasium."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lwmecps_core

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = [name for name in lwmecps_core.__all__ if not name.startswith("Task")]
HEAVY = ("torch", "numpy", "gymnasium", "pydantic", "numba", "matplotlib", "lwmecps_core.specs")


def _python(code: str) -> str:
    """What a fresh interpreter prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _python(f"import sys, lwmecps_core; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_every_name_is_there_and_documented() -> None:
    assert set(lwmecps_core.__all__) <= set(dir(lwmecps_core))
    for name in lwmecps_core.__all__:
        assert getattr(lwmecps_core, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = lwmecps_core.trian


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_each_function_works(name: str, folder: Path) -> None:
    found = doctest.DocTestFinder().find(getattr(lwmecps_core, name), name, globs={})
    examples = [example for test in found for example in test.examples]
    assert len(examples) >= 3, "a docstring has an example of three lines"
    runner, said = doctest.DocTestRunner(), list[str]()
    for test in found:
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize(
    "imports",
    ["import lwmecps_core, gymnasium", "import gymnasium, lwmecps_core", "import gymnasium.envs, lwmecps_core.specs"],
)
def test_gymnasium_knows_the_environments_whatever_is_imported_first(imports: str) -> None:
    code = f"{imports}\nenv = gymnasium.make('lwmecps-v3'); obs, info = env.reset(seed=0); print(sorted(obs))"
    assert _python(code) == "['deployment', 'global', 'limits', 'objective']"


def test_gymnasium_finds_the_environments_by_the_name_of_the_package() -> None:
    code = "import gymnasium; print(gymnasium.make('lwmecps_core:lwmecps-v4').action_space.shape)"
    assert _python(code) == "(16,)"
