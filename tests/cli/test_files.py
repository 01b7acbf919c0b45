"""What commands write: whole or not at all, and never in place of what is no file."""

import os
import stat
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from services.cli.files import write_whole
from services.cli.main import app


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_whole(pipe, [b"one", b"two"])
    reader.join(10)
    assert read == [b"onetwo"] and stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, target = tmp_path / "link", tmp_path / "kept" / "file"
    link.symlink_to(target)
    for content in (b"first", b"second"):
        write_whole(link, content)
        assert link.is_symlink() and target.read_bytes() == content and os.listdir(target.parent) == ["file"]


def test_a_full_disk_is_said_with_the_file() -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no /dev/full")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole(full, b"x")
    assert full.is_char_device()


def test_a_full_disk_under_any_other_writer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("services.cli.policies.write_whole", full)
    monkeypatch.setattr("services.common.weights.download", lambda *_: b"x")
    told = CliRunner().invoke(app, ["policies", "export", "policy-1", "--to", str(tmp_path / "x")])
    assert told.exit_code == 2 and told.stderr == "No space left on device\n"
