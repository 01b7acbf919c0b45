"""What a release holds and says: every file of the packages, one version everywhere; and what an audit comes to."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from scripts import audit, release

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lwmecps_core", "services", "protos")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert tracked <= held and not [name for name in held - tracked if not (ROOT / name).is_file()]
    for needed in ("services/gateway/static/index.html", "protos/lwmecps/registry/v1/registry.proto"):
        assert needed in held


def test_the_wheel_has_the_command_the_policies_entry_point_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(points).decode()
    assert "lwmecps = services.cli.main:app" in text and "services.common.weights:fetch" in text
    assert [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]


def test_one_version_stands_everywhere_and_the_changelog_is_not_ahead_of_it() -> None:
    version = release.agreed(ROOT)
    assert [heading for heading in release.headings(ROOT) if heading == version] in ([], [version])
    assert (ROOT / "tests" / "contracts" / "released").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("deploy/helm/lwmecps/Chart.yaml", "appVersion: ", "appVersion: 9", "versions differ: .*appVersion"),
        ("pyproject.toml", 'version = "', 'version = "9', "versions differ: pyproject.toml says 9"),
        ("CHANGELOG.md", "## [Unreleased]", "## [99.0.0] - 2026-01-01", "CHANGELOG.md has 99.0.0 already"),
    ],
)
def test_versions_that_differ_are_told_by_file(file: str, old: str, new: str, said: str, tmp_path: Path) -> None:
    for name in (
        *("pyproject.toml", "CHANGELOG.md", "deploy/helm/lwmecps/Chart.yaml"),
        "deploy/kustomize/overlays/production/kustomization.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(SystemExit, match=said):
        release.agreed(tmp_path)


@pytest.mark.parametrize(
    ("changelog", "waits"),
    [
        ("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n- All of it.\n", False),
        ("# Changelog\n\n## [Unreleased]\n\n- One more.\n\n## [0.1.0] - 2026-12-01\n\n- All of it.\n", True),
        ("# Changelog\n\n## [Unreleased]\n\n- All of it.\n", True),
    ],
)
def test_what_waits_for_a_heading_of_its_own_is_seen(changelog: str, waits: bool, tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    assert release.waiting(tmp_path) is waits


def test_a_known_vulnerability_fails_the_audit_and_advisories_out_of_reach_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    well = {"name": "numpy", "version": "2", "vulns": []}
    bad = {"name": "wandb", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    skipped = {"name": "torch", "skip_reason": "not found on PyPI"}
    assert audit.verdict([well, bad, skipped]) == 1
    assert "wandb 1: PYSEC-1, mended in 2" in capsys.readouterr().out
    assert audit.verdict([well, skipped]) == 0
    assert "torch: not audited" in capsys.readouterr().out
    assert audit.verdict([skipped]) == 0
    assert capsys.readouterr().out == "advisories can't be reached, nothing was audited: not found on PyPI\n"
