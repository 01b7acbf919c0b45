"""Long lists in JSON are read element by element, and come out as if the file had been read whole."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.importers import json_lists, scan, tables
from lwmecps_core.tasks.importers.options import EdgeSimPyOptions, MatrixOptions, PrometheusOptions, YafsOptions
from lwmecps_core.tasks.importers.prometheus import read_prometheus

TEXTS = ["", "items", '"', "\\", '\\"', "[", "]}", ",", "é€😀", "a\n", '"items": [1, 2]', "\\u005b"]
ANSWER = '{"status": "success", "data": {"resultType": "matrix", "result": [%s]}}'
PROMETHEUS = PrometheusOptions(unit="requests", step="60s", node="node", gaps="zero")


def value(rng: random.Random, deep: int = 3) -> Any:
    kind = rng.choice(["text", "number", "word"] + ["list", "object"] * (deep > 0))
    if kind == "list":
        return [value(rng, deep - 1) for _ in range(rng.randrange(4))]
    if kind == "object":
        return {rng.choice([*TEXTS, f"k{i}"]): value(rng, deep - 1) for i in range(rng.randrange(4))}
    if kind == "text":
        return rng.choice(TEXTS)
    return rng.choice([True, False, None]) if kind == "word" else rng.choice([0, -1, 1.5e300, 12345678901234])


@pytest.mark.parametrize("piece", [1, 2, 7, 64, 2**22])
def test_elements_are_those_of_the_whole_file_wherever_pieces_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(json_lists, "PIECE", piece)
    monkeypatch.setattr(json_lists, "AT_ONCE", 2)
    rng = random.Random(piece)
    for _ in range(20):
        items = [value(rng) for _ in range(rng.randrange(6))]
        data = {"before": value(rng), "items": items, "after": {"items": [1]}}
        indent, ascii_ = rng.choice([None, 4]), rng.random() < 0.5
        (tmp_path / "x.json").write_text(json.dumps(data, indent=indent, ensure_ascii=ascii_), encoding="utf-8")
        found = list(json_lists.elements(tmp_path / "x.json", "items", 1))
        assert [json.loads(text) for text in found] == items
        assert json_lists.around(tmp_path / "x.json", "items", 1) == data | {"items": []}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable as JSON"),
        ("{", "not readable as JSON"),
        ('{"items": [1, 2', "items: is cut off"),
        ('{"items": [1, "2], "a": 3}', "items: is cut off"),
        ('{"items": [1]', "not readable as JSON"),
        ('{"items": [1]} {"items": [2]}', "not readable as JSON: Extra data"),
        ('{"items": [1],\n"items": [2]}', "items: stands 2 times"),
        ('{"items": [1], "é": 1}'.encode("latin-1"), "is not UTF-8"),
    ],
)
def test_what_is_no_json_is_said(tmp_path: Path, text: str | bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=said):
        json_lists.around(tmp_path / "x.json", "items", 1)


@pytest.mark.parametrize("text", ["[,]", "[1,]", "[1,,2]", "[1 2]", "[tru]"])
def test_elements_that_are_none_are_named_by_their_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(ANSWER % text[1:-1])
    with pytest.raises(InvalidInput, match=r"data.result\[\d\]"):
        read_prometheus([tmp_path / "p.json"], PROMETHEUS)


def test_texts_and_elements_without_an_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "PIECE", 64)
    monkeypatch.setattr(json_lists, "LONGEST_ROW", 1000)
    for text in ('{"a": "' + "x" * 2000 + '", "items": []}', '{"items": ["' + "x" * 2000 + '"]}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InvalidInput, match="has an element, or text, of over 1,000 bytes"):
            list(json_lists.elements(tmp_path / "x.json", "items", 1))
    monkeypatch.setattr(json_lists, "MOST_AROUND", 1000)
    (tmp_path / "x.json").write_text(json.dumps({"other": list(range(1000))}))
    with pytest.raises(InvalidInput, match="has over 1,000 bytes outside of a list 'items'"):
        json_lists.around(tmp_path / "x.json", "items", 1)


def series(node: str, samples: str) -> str:
    return f'{{"metric": {{"node": "{node}", "values": "\\"values\\": [[1]]"}}, "values": {samples}}}'


@pytest.mark.parametrize(
    ("samples", "requests"),
    [
        ('[[0,"1"],[60,"2.5"]]', 3.5),
        ('[ [ 0.000 , "1e3" ] ,\n [60,"+0.5"] ]', 1000.5),
        ('[[0,"1"],[60,2.5]]', 3.5),
        ('[[0,"1"],["60","2.5"]]', 3.5),
        ('[[0,"1","more"]]', 1.0),
        ('[[0,"\\u0031"]]', 1.0),
    ],
)
def test_samples_count_however_they_are_written(tmp_path: Path, samples: str, requests: float) -> None:
    (tmp_path / "p.json").write_text(ANSWER % series("n", samples))
    assert read_prometheus([tmp_path / "p.json"], PROMETHEUS).requests == requests


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ('[[0,"1"],[60,"-1"]]', r"values\[1\]: '-1' is no requests in a step"),
        ('[[0,"NaN"]]', r"values\[0\]: 'NaN' is no"),
        ('[[0,"+Inf"]]', r"values\[0\]: '\+Inf' is no"),
        ('[[0,"1"],[60]]', r"values\[1\]: \[60\] is no time with a value"),
        ('[[0,"1"],]', "not readable as JSON"),
        ('[[0,"1"]', "not readable as JSON"),
        ('[[0,"1"] [60,"1"]]', "not readable as JSON"),
        ("[]", "has no metric and values"),
        ('[[1e400,"1"]]', r"values\[0\]"),
        ('[[0,"1_000"]]', r"values\[0\]: \[0, '1_000'\] is no time with a value"),
        ("[[0,true]]", r"values\[0\]: \[0, True\] is no time with a value"),
        ('[[0,"1"],[1767225600000,"1"]]', r"values\[1\]: 1767225600000 s since 1970 is past the year 9999"),
    ],
)
def test_samples_that_are_no_load_are_named(tmp_path: Path, samples: str, said: str) -> None:
    (tmp_path / "p.json").write_text(ANSWER % series("n", samples))
    with pytest.raises(InvalidInput, match=said):
        read_prometheus([tmp_path / "p.json"], PROMETHEUS)


def test_answers_of_many_series_are_read_in_pieces_and_keep_their_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lists, "PIECE", 1000)
    counts = np.random.default_rng(0).poisson(5.0, (30, 50))
    texts = [
        series(f"n{i}", json.dumps([[60 * k, str(value)] for k, value in enumerate(row)]))
        for i, row in enumerate(counts.tolist())
    ]
    text = (ANSWER % ",".join(texts)).encode()
    (tmp_path / "p.json.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text))
    load = read_prometheus([tmp_path / "p.json.gz"], PROMETHEUS)
    assert load.requests == counts.sum() and [one.node for one in load.series] == [f"n{i}" for i in range(30)]
    np.testing.assert_array_equal(load.rps * 60.0, counts.T)
    load = read_prometheus([tmp_path / "p.json.gz"], PROMETHEUS, top=3)
    assert load.requests == counts.sum() and len(load.series) == 3


def test_files_that_are_read_whole_name_their_size_and_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lwmecps_core.tasks.importers import edgesimpy, matrix, topology_zoo, yafs
    from lwmecps_core.tasks.importers.options import Distance

    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(tables.MOST_WHOLE + 1)
    for read in (
        lambda: edgesimpy.read_edgesimpy(large, EdgeSimPyOptions(cpu_unit="cores", memory_unit="MiB", delay_unit="ms")),
        lambda: yafs.read_yafs([large], YafsOptions(time_unit="ms", ram_unit="MiB", ipt_per_core=1.0)),
        lambda: topology_zoo.read_topology_zoo(large, Distance()),
        lambda: matrix.read_matrix(large, MatrixOptions(unit="ms", direction="rtt")),
    ):
        with pytest.raises(InvalidInput, match=r"large.json.*is too large \(32 MiB\): at most (32|16) MiB"):
            read()


def test_a_list_is_told_from_others_of_its_name_and_from_texts() -> None:
    text = b'{"x": {"items": [0]}, "y": "items", "z": [[9]], "items" : [1, [2, 3]], "w": ["items", [4]]}'
    state, starts, ends = np.zeros(6, np.int64), np.empty(9, np.int64), np.empty(9, np.int64)
    key, data, found = np.frombuffer(b"items", np.uint8), np.frombuffer(text, np.uint8), []
    while state[scan.AT] < len(text):
        count = scan.elements(data, key, 1, state, starts, ends)
        found += [text[starts[k] : ends[k]].strip() for k in range(count)]
    assert found == [b"1", b"[2, 3]"]
