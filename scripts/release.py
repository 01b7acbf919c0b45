"""Build a release and try it: `python scripts/release.py` (`make release`) writes wheel, sdist and SBOM to dist/.

In order: the version is the same everywhere; `python -m build`; the wheel, and then the sdist, are installed into an
environment that has nothing else, and the short form of the demo runs there in an empty folder with an empty HOME; a
bill of materials (CycloneDX) of that environment.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ["demo", "--short", "--out", "demo", "--json"]
MADE = ("results.json", "results.csv", "adaptation.png", "placement.svg")


def main() -> None:
    """Do all of it; raises `SystemExit` with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--final", action="store_true", help="refuse where the changelog has no heading for the version, or has more"
    )
    args = parser.parse_args()
    version = agreed(ROOT)
    if released := headings(ROOT) and headings(ROOT)[0] == version:
        print(f"lwmecps {version}")
    else:
        print(f"lwmecps {version}: a trial, for CHANGELOG.md has no heading `## [{version}] - DATE` yet")
    if args.final and (not released or waiting(ROOT)):
        raise SystemExit(f"move what is below [Unreleased] below `## [{version}] - DATE`: the release has it")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    _run([sys.executable, "-m", "build", "--outdir", "dist", "."], ROOT)
    (wheel,), (sdist,) = (sorted((ROOT / "dist").glob(f"lwmecps-{version}{end}")) for end in ("-*.whl", ".tar.gz"))
    with tempfile.TemporaryDirectory(prefix="lwmecps-release-") as folder:
        python = _empty_environment(Path(folder))
        for artefact in (wheel, sdist):
            _install(python, artefact)
            _try(python, Path(folder) / artefact.name.replace(".", "-"))
            print(f"{artefact.name} installs, and the demo runs from it")
        bill = ROOT / "dist" / f"lwmecps-{version}.cdx.json"
        _bill(python, bill)
    for path in (wheel, sdist, bill):
        print(f"dist/{path.name}  {path.stat().st_size:,} bytes")


def agreed(root: Path) -> str:
    """The version; raises `SystemExit` naming the files that say different ones."""
    said = {"pyproject.toml": str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])}
    for name, pattern in (
        ("deploy/helm/lwmecps/Chart.yaml", r"^version: (\S+)$"),
        ("deploy/helm/lwmecps/Chart.yaml", r"^appVersion: (\S+)$"),
        ("deploy/kustomize/overlays/production/kustomization.yaml", r"^ +newTag: (\S+)$"),
    ):
        (found,) = re.findall(pattern, (root / name).read_text(), re.MULTILINE)
        said[f"{name} ({pattern.strip('^ +').partition(':')[0]})"] = found
    if len(set(said.values())) != 1:
        raise SystemExit("versions differ: " + ", ".join(f"{name} says {version}" for name, version in said.items()))
    version = said["pyproject.toml"]
    later = [each for each in headings(root) if _number(each) > _number(version)]
    if later:
        raise SystemExit(f"CHANGELOG.md has {later[0]} already, and pyproject.toml {version}")
    return version


def headings(root: Path) -> list[str]:
    """Versions that the changelog has a heading for, as they stand there."""
    return re.findall(r"^## \[(\d[\w.]*)\] - \d{4}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)


def waiting(root: Path) -> bool:
    """Whether the changelog has anything below `[Unreleased]`."""
    _, _, below = (root / "CHANGELOG.md").read_text().partition("## [Unreleased]\n")
    return bool(below.partition("\n## ")[0].strip())


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _empty_environment(folder: Path) -> Path:
    _run([sys.executable, "-m", "venv", str(folder / "env")], folder)
    return folder / "env" / "bin" / "python"


def _install(python: Path, artefact: Path) -> None:
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    _run([str(python), "-m", "pip", "install", "--quiet", *pins, str(artefact)], ROOT)
    # The second one has the same version: in place of the first, not beside it.
    _run([str(python), "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(artefact)], ROOT)


def _try(python: Path, folder: Path) -> None:
    """Run what a newcomer runs first, where nothing of this repository can be found."""
    folder.mkdir()
    lwmecps = str(python.parent / "lwmecps")
    _run([lwmecps, "--version"], folder)
    _run([lwmecps, *DEMO], folder)
    missing = [name for name in MADE if not (folder / "demo" / name).is_file()]
    if missing:
        raise SystemExit(f"the demo has not written {', '.join(missing)}")


def _bill(python: Path, path: Path) -> None:
    """A CycloneDX file of everything that is installed there."""
    out = ["--output-format", "JSON", "--output-file", str(path), "--pyproject", str(ROOT / "pyproject.toml")]
    _run([sys.executable, "-m", "cyclonedx_py", "environment", str(python), *out], ROOT)


def _run(command: list[str], folder: Path) -> None:
    home = folder / "home"
    kept = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REDIS_URL") and not k.startswith("LWMECPS_")
    }
    environ = kept | {"HOME": str(home), "WANDB_MODE": "disabled"} if folder != ROOT else kept
    if folder != ROOT:
        home.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


if __name__ == "__main__":
    main()
