"""Snapshots of a registry on their way: files, one after the other, each announced with its size and its digest."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import snapshot_pb2

CHUNK_BYTES = 256 * 1024
MANIFEST, TABLES, ARTEFACTS = "manifest.json", "registry.db", "artefacts/"
"""Names of files: what is in the snapshot, the tables, and what artefacts' keys stand behind."""
MOST_MANIFEST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class FileOfSnapshot:
    """A file, and what its content must be."""

    name: str
    size_bytes: int
    sha256: str


Files = Iterator[tuple[FileOfSnapshot, Iterator[bytes]]]
"""Files with their contents, each of which is read to its end before the next file."""


def parts_of(files: Files) -> Iterator[tuple[snapshot_pb2.SnapshotFile | None, bytes]]:
    """What goes over the wire: for each file that it begins, and then its content in pieces."""
    for file, content in files:
        yield snapshot_pb2.SnapshotFile(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256), b""
        yield from ((None, piece) for piece in content)


def files_of(parts: Iterable[Any]) -> Files:
    """The files whose parts (messages with `file` or `content`) arrive; raises `InvalidInput` by a file's name."""
    coming = iter(parts)
    for part in coming:
        if part.WhichOneof("part") != "file":
            raise InvalidInput("snapshot", [Violation("file", "content came before any file, or after a file's end")])
        file = FileOfSnapshot(part.file.name, part.file.size_bytes, part.file.sha256)
        yield file, checked(file, (each.content for each in coming))


def checked(file: FileOfSnapshot, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a file; raises `InvalidInput` naming it, by its last piece at the latest, where it is another."""
    digest, left = hashlib.sha256(), file.size_bytes
    while left > 0:
        piece = next(pieces, b"")
        if not 0 < len(piece) <= left:
            raise InvalidInput(
                "snapshot", [Violation(file.name, f"is not the {file.size_bytes} bytes that it should be")]
            )
        left -= len(piece)
        digest.update(piece)
        yield piece
    if digest.hexdigest() != file.sha256:
        raise InvalidInput("snapshot", [Violation(file.name, "its SHA-256 is another: the file was damaged")])


def pieces(content: bytes) -> Iterator[bytes]:
    """A content that is at hand, in pieces."""
    return (content[begin : begin + CHUNK_BYTES] for begin in range(0, len(content), CHUNK_BYTES))


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds: who made it, when (ISO 8601), rows by table, and all files but itself."""

    version: str
    time: str
    rows: dict[str, int]
    files: tuple[FileOfSnapshot, ...]

    def file(self) -> tuple[FileOfSnapshot, bytes]:
        """The manifest as a file."""
        text = json.dumps(vars(self) | {"files": [vars(file) for file in self.files]}, indent=1).encode()
        return FileOfSnapshot(MANIFEST, len(text), hashlib.sha256(text).hexdigest()), text


def manifest_of(files: Files) -> Manifest:
    """The manifest, which comes first; raises `InvalidInput` where something else does."""
    file, content = next(files, (FileOfSnapshot("", 0, ""), iter(())))
    try:
        if file.name != MANIFEST or file.size_bytes > MOST_MANIFEST_BYTES:
            raise ValueError(f"must come first, not {file.name!r}")
        found = json.loads(b"".join(content))
        listed = tuple(FileOfSnapshot(**each) for each in found["files"])
        rows = {str(name): int(count) for name, count in found["rows"].items()}
        return Manifest(str(found["version"]), str(found["time"]), rows, listed)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidInput("snapshot", [Violation(MANIFEST, f"no manifest of a snapshot: {error}")]) from None
