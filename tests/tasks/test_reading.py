"""Files of people: what is read, and what is refused with its place."""

from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.reading import read_mapping


def refusal(path: Path, text: str) -> dict[str, str]:
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_mapping(path)
    assert caught.value.source == str(path)
    return {v.field: v.reason for v in caught.value.violations}


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = "name: a\ndeployments: [web]\nmax_pods: 4\ndeployments: [db]\n"
    assert refusal(tmp_path / "t.yaml", text) == {"deployments": "stands 2 times, in lines 2, 4: keep one"}
    inner = "workload:\n  noise: 0\n  speedup: 2\n  noise: 1\n"
    assert "lines 2, 4" in refusal(tmp_path / "t.yaml", inner)["noise"]


@pytest.mark.parametrize("text", ['{"a": 1,\n"b": {"c": 1,\n"c": 2}}', '{"a": "\\/\\ud83d",\n"c": 1,\n"c": 2}'])
def test_json_is_no_more_lenient(tmp_path: Path, text: str) -> None:
    assert "keep one" in refusal(tmp_path / "t.json", text)["c"]


def test_lines_of_json_are_told_too(tmp_path: Path) -> None:
    assert "lines 2, 3" in refusal(tmp_path / "t.json", '{"a": {\n"c": 1,\n"c": 2}}')["c"]


def test_what_yaml_merges_does_not_count_as_twice(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("base: &b {cpu: 1, ram: 2}\nmore: {<<: *b, cpu: 3}\n")
    assert read_mapping(tmp_path / "t.yaml")["more"] == {"cpu": 3, "ram": 2}


@pytest.mark.parametrize("name", ["t.yaml", "t.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"a": \x00}', "? [a]\n: 1\n"])
def test_nothing_that_a_file_holds_ends_in_a_traceback(tmp_path: Path, name: str, text: str) -> None:
    assert "not readable" in refusal(tmp_path / name, text)["."]


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    for name, text in (("t.yaml", "a: 1\n"), ("t.json", '{"a": 1}')):
        (tmp_path / name).write_text("\ufeff" + text)
        assert read_mapping(tmp_path / name) == {"a": 1}


def test_files_that_are_empty_endless_or_too_deep_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "t.yaml", "# nothing\n") == {".": "is empty: it must hold a mapping of keys"}
    for name, text in (
        ("t.yaml", "a: &a [*a]\n"),
        ("t.yaml", "a: &a {b: [*a]}\n"),
        ("t.json", '{"a": ' * 300 + "1" + "}" * 300),
    ):
        assert "nested over 100 deep, or an alias" in refusal(tmp_path / name, text)["."]


def test_a_file_whose_aliases_multiply_is_refused_before_anything_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwmecps_core.reading.MOST_PIECES", 50)
    path = tmp_path / "task.yaml"
    path.write_text("a: &a [1, 2, 3]\nb: &b [*a, *a]\nc: [*b]\n")
    assert read_mapping(path)["c"] == [[[1, 2, 3], [1, 2, 3]]]
    path.write_text("a: &a [1, 2, 3]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b]\n")
    with pytest.raises(InvalidInput, match=r"task.yaml: .*aliases \(\*name\) make 7\d values of it"):
        read_mapping(path)
