"""What a newcomer has: a fresh clone, an empty home, the commands of the README, a system that `lwmecps up` started."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("registry", "env", "learner")


@dataclass(frozen=True)
class Newcomer:
    """Somebody who works in `clone` with `environment`; `short` is for those who have little time."""

    clone: Path
    environment: dict[str, str]
    short: bool
    where: dict[str, str] = field(default_factory=dict)
    """Name of a service, or `gateway` → its address."""

    def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """What a command prints on standard output; it must end with `code`."""
        print("$", *words, flush=True)
        done = subprocess.run(
            words, cwd=self.clone, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def lwmecps(self, line: str, code: int = 0) -> str:
        """A line of `lwmecps` as pages have it."""
        return self.run("lwmecps", *line.split(), code=code)

    def python(self, program: str) -> str:
        """What a program prints that stands in a page."""
        return self.run(sys.executable, "-", stdin=program)

    def sooner(self, program: str, **less: tuple[int, int]) -> str:
        """A program of a page, with smaller numbers (name → the page's, ours) for those who have little time."""
        for name, (page, ours) in less.items():
            assert f"{name}={page}" in program or f'"{name}": {page}' in program, f"{name} is another in the page"
            if self.short:
                program = re.sub(rf"({name}\"?[=:] ?){page}\b", rf"\g<1>{ours}", program)
        return program


def blocks(page: str) -> list[str]:
    """The blocks of Python in a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def found(pattern: str, text: str) -> str:
    """What the pattern matches first."""
    match = re.search(pattern, text)
    assert match, f"no {pattern} in:\n{text}"
    return match[0]


@contextmanager
def newcomer(folder: Path, short: bool) -> Iterator[Newcomer]:
    """A newcomer whose system runs meanwhile; ctrl-C ends it, and it must end well."""
    clone, home = folder / "lwmecps", folder / "home"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(clone)], check=True)
    home.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(clone), "LANG": "C.UTF-8"}
    if short:
        _keep_compiled(clone)
    ports = [word for name in (*SERVICES, "gateway") for word in (f"--{name}-port", "0")]
    command = ["lwmecps", "up", "--json", *ports]
    process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        where = json.loads(_until_brace(process))
        assert Path(where["state"]).is_relative_to(home), "all that is kept is below the home"
        told = {f"LWMECPS_CLI_{name.upper()}": where[name] for name in SERVICES}
        yield Newcomer(clone, environment | told, short, where)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _keep_compiled(clone: Path) -> None:
    """Give the clone what this checkout has compiled already: the simulator takes 20 s."""
    for made in ROOT.glob("lwmecps_core/**/__pycache__/*.nb[ci]"):
        source = made.parent.parent / f"{made.name.partition('.')[0]}.py"
        twin = clone / source.relative_to(ROOT)
        if twin.exists() and twin.read_bytes() == source.read_bytes():
            shutil.copystat(source, twin)  # the compiled code is that of a file of this age
            (twin.parent / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(made, twin.parent / "__pycache__")


def _until_brace(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            return text
    raise AssertionError(f"`lwmecps up` ended with {process.wait()}")
