"""`python -m tests.people [PERSON …] [--short]` (`make people`): three kinds of people, on a fresh clone."""

import argparse
import tempfile
import time
from pathlib import Path

from tests.people import gym_user, platform_engineer, researcher
from tests.people.newcomer import newcomer

PEOPLE = {"researcher": researcher.work, "platform_engineer": platform_engineer.work, "gym_user": gym_user.work}


def main() -> None:
    """Say what each does, and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", nargs="*", default=[*PEOPLE], metavar="PERSON", help=", ".join(PEOPLE))
    parser.add_argument("--short", action="store_true", help="smaller numbers everywhere")
    asked = parser.parse_args()
    if unknown := set(asked.people) - set(PEOPLE):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder, newcomer(Path(folder), asked.short) as person:
        for name in asked.people:
            began_s = time.monotonic()
            PEOPLE[name](person)
            print(f"{name}: done in {time.monotonic() - began_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
