"""Generate the Python messages and stubs that lie beside the `.proto` files.

`python scripts/generate_protos.py [OUT]` writes a module for every file under `protos/` into OUT (default: `protos/`
itself, where stale modules are removed). They are imported as `protos.lwmecps.<area>.v1.<name>_pb2`; protoc writes
imports relative to the include folder, so they get the prefix `protos.` here. With `--image FILE` it writes the
contracts, and what they import, as one set of descriptors instead: what `buf lint` reads.

`buf/validate/validate.proto` lies in no folder: protoc gets its descriptor from the wheel of protovalidate, and the
messages from `protos/validate.binpb`, which is written here too.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate import ViolationPb

PROTOS = Path(__file__).resolve().parent.parent / "protos"
OURS = re.compile(r"^(from|import) (lwmecps|keda|oip)\b", re.MULTILINE)
RULES = re.compile(r"^from buf\.validate import validate_pb2\b", re.MULTILINE)
RULES_FILE = "validate.binpb"


def generate(out: Path) -> None:
    """Write messages, type stubs, service stubs and package markers for every `.proto` file into `out`."""
    sources = sorted(PROTOS.rglob("*.proto"))
    services = [path for path in sources if re.search(r"^service ", path.read_text(), re.MULTILINE)]
    run_protoc([f"--python_out={out}", f"--pyi_out={out}"], sources)
    run_protoc([f"--grpc_python_out={out}"], services)
    for path in generated(out):
        text = OURS.sub(r"\1 protos.\2", path.read_text())
        path.write_text(RULES.sub("from protos import validate", text))
    for path in sources:
        for parent in path.relative_to(PROTOS).parents:
            (out / parent / "__init__.py").touch()
    (out / RULES_FILE).write_bytes(rules())


def write_image(out: Path) -> None:
    """Write the contracts with their comments, and all that they import, as a `FileDescriptorSet`."""
    run_protoc(
        ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}"], sorted(PROTOS.rglob("*.proto"))
    )


def generated(folder: Path) -> list[Path]:
    """All generated modules under `folder`."""
    return sorted([*folder.rglob("*_pb2.py"), *folder.rglob("*_pb2.pyi"), *folder.rglob("*_pb2_grpc.py")])


def rules() -> bytes:
    """The descriptor of `buf/validate/validate.proto`, from the wheel of protovalidate."""
    return bytes(ViolationPb.desc().file.proto.to_binary())


def run_protoc(options: list[str], sources: list[Path]) -> None:
    """Call protoc; exits with its code when it fails or warns, as of an unused import (its message is on stderr)."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as known:
        known.write(FileDescriptorSet(file=[FileDescriptorProto.FromString(rules())]).SerializeToString())
        known.flush()
        include = [
            f"-I{PROTOS}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--descriptor_set_in={known.name}",
        ]
        if sources and (code := protoc.main(["protoc", "--fatal_warnings", *include, *options, *map(str, sources)])):
            raise SystemExit(code)


def main() -> None:
    """Generate into a folder of our own first, so that a failure leaves the tree as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=PROTOS, metavar="OUT")
    parser.add_argument("--image", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if asked.image:
        asked.image.parent.mkdir(parents=True, exist_ok=True)
        write_image(asked.image)
        return
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        for path in generated(asked.out):
            if not (fresh / path.relative_to(asked.out)).exists():
                path.unlink()
        shutil.copytree(fresh, asked.out, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
