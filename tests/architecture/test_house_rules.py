"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_UNFORMATTED = 16


def _tracked(pattern: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _handwritten(*folders: str) -> list[Path]:
    return [path for folder in folders for path in _tracked(str(Path(folder, "*.py"))) if "_pb2" not in path.name]


def test_handwritten_files_stay_short() -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in _handwritten("")}
    assert lengths, "no Python files found"
    long = {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MAX_LINES}
    assert not long, f"files of more than {MAX_LINES} lines: {long}"


def test_functions_of_library_and_services_fit_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in _handwritten("lwmecps_core", "services")
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES  # type: ignore[operator]
    ]
    assert not long, f"functions of more than {MAX_FUNCTION_LINES} lines: {long}"


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in _handwritten("lwmecps_core", "services", "bench", "scripts"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_next_to_nothing_is_kept_from_the_formatter() -> None:
    mark = re.compile(r"#\s*fmt:\s*(skip|off)")
    kept = [f"{p.relative_to(ROOT)}" for p in _tracked("*.py") for _ in mark.finditer(p.read_text())]
    assert len(kept) <= MAX_UNFORMATTED, kept


def test_the_library_does_not_print() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _tracked("lwmecps_core/*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.lstrip().startswith("print(")
    ]
    assert not guilty


@pytest.mark.parametrize("module", ["lwmecps_core.statistics", "services.cli.main", "services.task_registry.rpc"])
def test_those_who_only_pass_results_on_load_no_pytorch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "service", ["task_registry", "gateway", "env_service", "env_service.worker", "learner_service"]
)
def test_what_waits_for_work_has_not_imported_what_works(service: str) -> None:
    module = f"services.{service}" if "." in service else f"services.{service}.__main__"
    heavy = ("torch", "numba", "scipy", "gymnasium", "matplotlib", "kubernetes", "wandb")
    code = f"import sys, {module}; print(*set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_weights_are_never_pickled() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for folder in ("lwmecps_core/*.py", "services/*.py")
        for path in _tracked(folder)
        if re.search(r"^import pickle|(?<!safetensors\.)torch\.(save|load)\(", path.read_text(), re.MULTILINE)
    ]
    assert not guilty


def test_every_direct_dependency_has_an_exact_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in wanted} - {"lwmecps"}  # type: ignore[index]
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert names <= pinned, f"not in constraints.txt: {names - pinned}"
