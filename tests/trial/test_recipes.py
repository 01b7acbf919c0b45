"""The README's recipes are true: what is added by one, and by nothing else, passes all that its kind must."""

import re
from pathlib import Path

import pytest

from tests.trial.recipes import ADDED, EDITS, FILES, MADE, ROOT, carried_out, run

TIMEOUT_S = 900


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house with an algorithm, a meta-learner and a cluster backend more."""
    place = tmp_path_factory.mktemp("house")
    carried_out(place)
    return place


def _recipe(what: str) -> str:
    """The paragraph of the README that begins with it."""
    (found,) = re.findall(
        rf"^\*\*An? {what}\*\* .*?(?=\n\n)", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return found


@pytest.mark.parametrize("what", EDITS)
def test_a_recipe_names_the_files_that_are_touched_and_no_others(what: str) -> None:
    named = {path for path in re.findall(r"`([\w./-]+)`", _recipe(what)) if "/" in path and "/base.py" not in path}
    folders = {name for name in named if name.endswith("/")}
    added = {f"{Path(name).parent}/" for name in FILES[what]}
    assert (named - folders, folders) == (set(EDITS[what]), added)


def test_all_that_is_added_belongs_to_a_recipe() -> None:
    lying = {str(path.relative_to(ADDED)) for path in ADDED.rglob("*.py")}
    assert lying == {name for names in FILES.values() for name in names}
    assert "make protos" in _recipe("algorithm") and all(name in (ROOT / "Makefile").read_text() for name in MADE)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("tests", "those_of"),
    [
        (["tests/algorithms/test_conformance.py", "tests/cluster/test_logbook.py"], "reinforce or logbook"),
        (["tests/meta/test_conformance.py", "tests/training/test_loops.py"], "reinforce or linear_rule"),
        (["tests/contracts", "tests/rollout/test_spec_codec.py", "tests/cli/test_options.py"], ""),
    ],
    ids=["alone", "together", "contracts"],
)
def test_what_was_added_passes_the_tests_of_its_kind(house: Path, tests: list[str], those_of: str) -> None:
    done = run(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", those_of)
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\b[1-9]\d* passed", done.stdout)


@pytest.mark.timeout(TIMEOUT_S)
def test_every_module_that_was_added_stands_on_a_floor(house: Path) -> None:
    done = run(house, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert "0 broken" in done.stdout, done.stdout + done.stderr
