"""The contracts by themselves: generated code, style, comments."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
GENERATE = ROOT / "scripts" / "generate_protos.py"
FILES = sorted((PROTOS / "lwmecps").rglob("*.proto"))


def _generated(folder: Path) -> dict[str, str]:
    names = [*folder.rglob("*_pb2.py"), *folder.rglob("*_pb2.pyi"), *folder.rglob("*_pb2_grpc.py")]
    return {str(path.relative_to(folder)): path.read_text() for path in names}


def test_generating_again_leaves_the_tree_as_it_is(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(GENERATE), str(tmp_path)], check=True)
    fresh, committed = _generated(tmp_path), _generated(PROTOS)
    assert set(fresh) == set(committed)
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, f"run `make protos`: {stale}"
    rules = "validate.binpb"
    assert (tmp_path / rules).read_bytes() == (PROTOS / rules).read_bytes(), "run `make protos`"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("descriptors") / "contracts.binpb"
    subprocess.run([sys.executable, str(GENERATE), "--image", str(out)], check=True)
    return out


def test_contracts_are_clean_under_buf_lint(image: Path) -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    result = subprocess.run(
        [buf, "lint", image, "--path", "lwmecps"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


RELEASED = Path(__file__).parent / "released"


@pytest.mark.parametrize("release", sorted(RELEASED.glob("*.binpb")), ids=lambda path: path.stem)
def test_clients_of_a_release_can_still_talk_to_us(image: Path, release: Path) -> None:
    result = _breaking(image, release)
    assert result.returncode == 0, f"breaks clients of {release.stem}: {result.stdout}{result.stderr}"


def test_a_field_that_is_taken_away_would_break_them(image: Path, tmp_path: Path) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    run = next(
        m for f in files.file if f.name.endswith("registry/v1/run.proto") for m in f.message_type if m.name == "Run"
    )
    del run.field[next(i for i, field in enumerate(run.field) if field.name == "error")]
    (tmp_path / "now.binpb").write_bytes(files.SerializeToString())
    result = _breaking(tmp_path / "now.binpb", sorted(RELEASED.glob("*.binpb"))[-1])
    assert result.returncode != 0 and 'field "9" with name "error"' in result.stdout


def _breaking(image: Path, release: Path) -> "subprocess.CompletedProcess[str]":
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    command = [buf, "breaking", image, "--against", release, "--path", "lwmecps"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


RULES_AND_CONTRACTS = {
    "the contracts": "",
    "protovalidate": "import protovalidate",
    "protovalidate, and it has validated": """
import protovalidate
from google.protobuf.duration_pb2 import Duration
protovalidate.validate(Duration())
""",
    "another package's copy": """
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate import ViolationPb
copy = descriptor_pb2.FileDescriptorProto.FromString(ViolationPb.desc().file.proto.to_binary())
copy.options.java_package = "of.another.package"
descriptor_pool.Default().AddSerializedFile(copy.SerializeToString())
""",
}


@pytest.mark.parametrize("first", RULES_AND_CONTRACTS)
def test_field_rules_come_from_the_wheel_whatever_is_imported_first(first: str) -> None:
    code = """
from protos.lwmecps.env.v1 import env_pb2_grpc
from protos.lwmecps.common.v1.tensor_pb2 import Tensor
import protovalidate
print([violation.proto.rule_id for violation in protovalidate.collect_violations(Tensor(dtype=77))])
"""
    called = [sys.executable, "-c", RULES_AND_CONTRACTS[first] + code]
    result = subprocess.run(called, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "['enum.defined_only']\n", result.stderr


def test_buf_lints_by_the_standard_rules() -> None:
    text = (ROOT / "buf.yaml").read_text()
    assert "STANDARD" in text
    assert "except" not in text


@pytest.fixture(scope="module")
def sources(image: Path) -> list[descriptor_pb2.FileDescriptorProto]:
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return [file for file in files if file.name.startswith("lwmecps/")]


def _message_elements(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], name: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    if message.options.map_entry:
        return
    yield path, name
    for i, field in enumerate(message.field):
        yield (*path, 2, i), f"{name}.{field.name}"
    for i, nested in enumerate(message.nested_type):
        yield from _message_elements(nested, (*path, 3, i), f"{name}.{nested.name}")


def _elements(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for i, message in enumerate(file.message_type):
        yield from _message_elements(message, (4, i), message.name)
    for i, enum in enumerate(file.enum_type):
        yield (5, i), enum.name
        for j, value in enumerate(enum.value):
            yield (5, i, 2, j), value.name
    for i, service in enumerate(file.service):
        yield (6, i), service.name
        for j, method in enumerate(service.method):
            yield (6, i, 2, j), f"{service.name}.{method.name}"


def test_every_message_field_value_and_call_has_a_comment(sources: list[descriptor_pb2.FileDescriptorProto]) -> None:
    assert len(sources) == len(FILES)
    silent = []
    for file in sources:
        said = {tuple(x.path) for x in file.source_code_info.location if x.leading_comments.strip()}
        silent += [f"{file.name}: {name}" for path, name in _elements(file) if path not in said]
    assert not silent


def test_numbers_never_travel_as_repeated_floats(sources: list[descriptor_pb2.FileDescriptorProto]) -> None:
    floats = (descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT, descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE)
    repeated = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    guilty = [
        f"{message.name}.{field.name}"
        for file in sources
        for message in file.message_type
        for field in message.field
        if field.type in floats and field.label == repeated
    ]
    assert not guilty
