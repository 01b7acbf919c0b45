"""Three kinds of people, in a hurry; `make people` gives them their time."""

from collections.abc import Iterator

import pytest

from tests.people.__main__ import PEOPLE
from tests.people.newcomer import ROOT, Newcomer, newcomer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout to clone"),
]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    with newcomer(tmp_path_factory.mktemp("person"), short=True) as made:
        yield made


@pytest.mark.parametrize("name", PEOPLE)
def test_what_the_pages_promise_works_from_a_fresh_clone(person: Newcomer, name: str) -> None:
    PEOPLE[name](person)
