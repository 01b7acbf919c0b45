"""Generate the Python messages and stubs that lie beside the `.proto` files.

`python scripts/generate_protos.py [OUT]` writes a module for every file under `protos/` into OUT (default: `protos/`
itself, where stale modules are removed). They are imported as `protos.lwmecps.<area>.v1.<name>_pb2`; protoc writes
imports relative to the include folder, so they get the prefix `protos.` here.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent.parent / "protos"
OURS = re.compile(r"^(from|import) (lwmecps|buf)\b", re.MULTILINE)


def generate(out: Path) -> None:
    """Write messages, type stubs, service stubs and package markers for every `.proto` file into `out`."""
    sources = sorted(PROTOS.rglob("*.proto"))
    services = [path for path in sources if re.search(r"^service ", path.read_text(), re.MULTILINE)]
    run_protoc([f"--python_out={out}", f"--pyi_out={out}"], sources)
    run_protoc([f"--grpc_python_out={out}"], services)
    for path in generated(out):
        path.write_text(OURS.sub(r"\1 protos.\2", path.read_text()))
    for path in sources:
        for parent in path.relative_to(PROTOS).parents:
            (out / parent / "__init__.py").touch()


def generated(folder: Path) -> list[Path]:
    """All generated modules under `folder`."""
    return sorted([*folder.rglob("*_pb2.py"), *folder.rglob("*_pb2.pyi"), *folder.rglob("*_pb2_grpc.py")])


def run_protoc(options: list[str], sources: list[Path]) -> None:
    """Call protoc; exits with its code when it fails (its message is on stderr)."""
    include = [f"-I{PROTOS}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    if sources and (code := protoc.main(["protoc", *include, *options, *map(str, sources)])):
        raise SystemExit(code)


def main() -> None:
    """Generate into a folder of our own first, so that a failure leaves the tree as it was."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        for path in generated(target):
            if not (fresh / path.relative_to(target)).exists():
                path.unlink()
        shutil.copytree(fresh, target, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
