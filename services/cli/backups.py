"""`lwmecps backup` and `lwmecps restore`: everything that a registry keeps, in one tar file."""

import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import snapshot_pb2
from services.cli import render
from services.cli.files import write_whole
from services.cli.json_option import Json
from services.common.errors import rpc_errors
from services.common.snapshots import (
    CHUNK_BYTES,
    MANIFEST,
    FileOfSnapshot,
    Files,
    Manifest,
    files_of,
    manifest_of,
    parts_of,
    pieces,
)

app = typer.Typer()


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The tar file to write; it appears when it is whole.")],
    as_json: Json = False,
) -> None:
    """Write everything that the registry keeps to one file, while others go on writing."""
    files = files_of(ctx.obj.registry.stream("Backup", snapshot_pb2.BackupRequest()))
    manifest = manifest_of(files)
    write_whole(file, _tar(manifest, files))
    _told(as_json, f"{file}  {file.stat().st_size:,} bytes", manifest.rows, len(manifest.files) - 1)


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file of `lwmecps backup`, of this or an earlier version.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take away what the registry has.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup back into the registry, all of it or nothing."""
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise InvalidInput(str(file), [Violation(".", "is a pipe or a device, and a backup is read from a file")])
    try:
        with tarfile.open(file, "r:") as tar:  # a plain one, as backups are
            manifest, others = _opened(tar)
            first, text = manifest.file()
            with rpc_errors(ctx.obj.registry.address):
                done = ctx.obj.registry.stub.Restore(_requests([(first, pieces(text)), *others], replace))
    except tarfile.TarError as error:
        raise InvalidInput(str(file), [Violation("tar", f"can't be read: {error}")]) from None
    _told(as_json, f"{file}  of {manifest.time}, version {manifest.version}, put back", dict(done.rows), done.artefacts)


def _requests(files: Any, replace: bool) -> Iterator[snapshot_pb2.RestoreRequest]:
    for i, (file, content) in enumerate(parts_of(iter(files))):
        part: dict[str, Any] = {"file": file} if file else {"content": content}
        yield snapshot_pb2.RestoreRequest(replace=replace and i == 0, **part)


def _opened(tar: tarfile.TarFile) -> tuple[Manifest, list[tuple[FileOfSnapshot, Iterator[bytes]]]]:
    """What a tar holds: its manifest, and the files that this lists, in its order."""
    members = {member.name: member for member in tar.getmembers()}
    text = tar.extractfile(members[MANIFEST]) if MANIFEST in members else None
    if text is None:
        raise InvalidInput(str(tar.name), [Violation(MANIFEST, "is missing: this is no backup of a registry")])
    content = text.read()
    manifest = manifest_of(iter([(FileOfSnapshot(MANIFEST, len(content), ""), pieces(content))]))
    found = [(file, tar.extractfile(members[file.name]) if file.name in members else None) for file in manifest.files]
    missing = [Violation(file.name, "is missing") for file, opened in found if opened is None]
    if missing:
        raise InvalidInput(str(tar.name), missing)
    return manifest, [(file, _pieces(opened)) for file, opened in found if opened is not None]


def _pieces(opened: IO[bytes]) -> Iterator[bytes]:
    while piece := opened.read(CHUNK_BYTES):
        yield piece


def _tar(manifest: Manifest, files: Files) -> Iterator[bytes]:
    """A tar of a snapshot, in pieces; raises `InvalidInput` where a file of the manifest has not come."""
    made, text = manifest.file()
    when = datetime.fromisoformat(manifest.time).timestamp()
    coming = set(manifest.files)
    yield from _member(made, iter([text]), when)
    for file, content in files:
        coming.discard(file)
        yield from _member(file, content, when)
    if coming:
        raise InvalidInput("backup", [Violation(min(file.name for file in coming), "has not come")])
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(file: FileOfSnapshot, content: Iterator[bytes], when: float) -> Iterator[bytes]:
    info = tarfile.TarInfo(file.name)
    info.size, info.mtime, info.mode = file.size_bytes, when, 0o600
    yield info.tobuf(tarfile.PAX_FORMAT)
    yield from content
    yield bytes(-file.size_bytes % tarfile.BLOCKSIZE)


def _told(as_json: bool, what: str, rows: dict[str, int], artefacts: int) -> None:
    if as_json:
        render.print_json({"rows": rows, "artefacts": artefacts})
        return
    counted = ", ".join(f"{count:,} in {table}" for table, count in sorted(rows.items()) if count) or "no rows"
    render.console.print(f"{what}\n{counted}; {artefacts:,} files", highlight=False, markup=False, soft_wrap=True)
