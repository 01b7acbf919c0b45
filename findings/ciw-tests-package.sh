#!/usr/bin/env bash
# Guess:   a namespace package `tests` in the working directory, first on sys.path, is what `python -m tests.x` finds, whatever
#          queueing simulator is installed for a test.
# Really:  ciw 3.2.7's wheel brings a regular package `tests` into site-packages, and a regular package later on the path wins
#          over a namespace package that comes first: "No module named tests.x". pytest, which sets the path itself, goes on.
# Matters: scripts beside the tests (recorders of expected results) break when ciw joins the development requirements.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
mkdir -p project/tests
echo 'print("the project'"'"'s own")' > project/tests/helper.py
cd project
before=$(../venv/bin/python -m tests.helper)
../venv/bin/pip install --quiet --disable-pip-version-check ciw==3.2.7 2> /dev/null
echo "ciw $(../venv/bin/python -c 'import importlib.metadata as m; print(m.version("ciw"))')"
echo "before: $before"
after=$(../venv/bin/python -m tests.helper 2>&1 | tail -1 || true)
echo "after:  $after"
touch tests/__init__.py
mended=$(../venv/bin/python -m tests.helper)
echo "with an __init__.py: $mended"
[[ $before == "the project's own" && $mended == "$before" && $after == *"No module named tests.helper"* ]] || {
    echo "this has changed"
    exit 1
}
