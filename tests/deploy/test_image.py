import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.rendering import RENDERS, ROOT, containers, render

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def _instructions(name: str) -> list[str]:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(f"{name} ")]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    run = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout


def test_the_image_holds_every_package_that_the_wheel_has() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {source for line in _instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert set(wheel["packages"]) <= copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_base_image_has_an_exact_version_of_a_python_that_we_support() -> None:
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", _instructions("ARG")[0])
    assert all(line.startswith("${PYTHON_IMAGE}") for line in _instructions("FROM"))


def test_the_image_runs_as_the_user_that_the_pods_name() -> None:
    uid, gid = _instructions("USER")[-1].split(":")
    securities = {
        (m["spec"]["template"]["spec"]["securityContext"][key])
        for m in render("helm")
        if m["kind"] == "Deployment"
        for key in ("runAsUser", "runAsGroup", "fsGroup")
    }
    assert securities == {int(uid)} and uid == gid


@pytest.mark.parametrize("name", [name for name in RENDERS if name not in ("managed", "base")])
def test_whatever_the_image_writes_lies_on_a_volume(name: str) -> None:
    variables = dict(re.findall(r"(\w+)=(/\S+)", _instructions("ENV")[0]))
    written = [variables[key] for key in ("HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")]
    for owner, box in containers(render(name)).items():
        mounts = [mount["mountPath"] for mount in box["volumeMounts"]]
        if box.get("args", [""])[0].startswith("services."):
            assert importlib.util.find_spec(box["args"][0] + ".__main__"), owner
            assert all(any(Path(path).is_relative_to(mount) for mount in mounts) for path in [*written, "/tmp"]), owner
