"""Known vulnerabilities of the pinned set: `python scripts/audit.py`, by pip-audit.

Exit code 1 where there is one. Where advisories can't be reached it says so in one line and ends with 0: CI must not be
red because somebody else's server is away.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
AT_MOST_S = 180
AUDIT = ["-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off", "--timeout=10", "--format=json"]


def main() -> int:
    """Ask for every pin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=CONSTRAINTS, help="exact versions, one a line")
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi", help="whose advisories")
    args = parser.parse_args()
    command = [sys.executable, *AUDIT, f"--vulnerability-service={args.service}", f"--requirement={args.file}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    except subprocess.TimeoutExpired:
        return _unknown(f"no answer within {AT_MOST_S} s")
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _unknown((done.stderr.strip() or "no output").splitlines()[-1])
    return verdict(found)


def verdict(found: list[dict[str, Any]]) -> int:
    """What pip-audit's list of dependencies comes to: lines, and the exit code."""
    skipped = [package for package in found if "skip_reason" in package]
    if len(skipped) == len(found):
        return _unknown(skipped[0]["skip_reason"] if skipped else "nothing was asked for")
    for package in skipped:
        print(f"{package['name']}: not audited: {package['skip_reason']}")
    bad = [(package, advisory) for package in found for advisory in package.get("vulns", ())]
    for package, advisory in bad:
        mended = ", ".join(advisory["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    print(f"{len(found) - len(skipped)} packages audited, {len(bad)} known vulnerabilities")
    return 1 if bad else 0


def _unknown(why: str) -> int:
    print(f"advisories can't be reached, nothing was audited: {why[:200]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
