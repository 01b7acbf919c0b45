"""How long `lwmecps import` takes, and how much memory: files of a given size are made, read, and held against totals.

`python -m bench.imports [KIND…] [--mib 954] [--folder DIR]`: 954 MiB are a GB. Files are those of their publishers in
columns and shape; values come from a pool, so that making them takes seconds.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

MIB = 2**20
MINUTES, POINTS, CELLS, START_S = 1440, 11_000, 10_000, 1_767_225_600
CALLS = ("providerrpc", "consumerrpc", "writemc", "readmc", "writedb", "readdb", "consumermq", "providermq", "http")
TOLERANCE = 1e-6
TIMES, RPS = ["--time", "time", "--time-format", "unix-s"], ["--unit", "rps", "--step", "60s"]
RNG = np.random.default_rng(0)


def azure(file: IO[str], size: int) -> float:
    counts = RNG.poisson(3.0, (200, MINUTES))
    tails = [",http," + ",".join(map(str, row)) + "\n" for row in counts.tolist()]
    file.write("HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, range(1, MINUTES + 1))) + "\n")
    return _repeated(file, size, lambda i: f"{i // 9:064x},{i // 3:064x},{i:064x}{tails[i % 200]}", counts.sum(axis=1))


def csv_long(file: IO[str], size: int) -> float:
    file.write("time;node;value\n")
    values = np.round(RNG.gamma(2.0, 5.0, (16, 4000)), 3)
    blocks = ["".join(f"@;pop-{k};{value}\n" for k, value in enumerate(row)) for row in values.tolist()]
    return 60.0 * _repeated(
        file, size, lambda i: blocks[i % 16].replace("@", str(START_S + 60 * i)), values.sum(axis=1)
    )


def csv_wide(file: IO[str], size: int) -> float:
    file.write("time," + ",".join(f"cell-{k}" for k in range(CELLS)) + "\n")
    values = np.round(RNG.gamma(2.0, 5.0, (64, CELLS)), 3)
    rows = [",".join(map(str, row)) + "\n" for row in values.tolist()]
    return 60.0 * _repeated(file, size, lambda i: f"{START_S + 60 * i},{rows[i % 64]}", values.sum(axis=1))


def alibaba(file: IO[str], size: int) -> float:
    columns = [f"{call}_{what}" for call in CALLS for what in ("rt", "mcr")]
    file.write(",".join(["timestamp", "msname", "msinstanceid", "nodeid", *columns]) + "\n")
    values = np.round(RNG.gamma(2.0, 0.01, (8, 10_000, len(columns))), 6)
    arrive = [columns.index(f"{call}_mcr") for call in ("providerrpc", "http")]
    blocks = [
        "".join(
            f"@,MS_{k // 5},MS_{k // 5}_POD_{k % 5},NODE_{k % 977}," + ",".join(map(str, row)) + "\n"
            for k, row in enumerate(block)
        )
        for block in values.tolist()
    ]
    calls = 1000.0 * 60.0 * values[:, :, arrive].sum(axis=(1, 2))
    return _repeated(file, size, lambda i: blocks[i % 8].replace("@", str(60_000 * i)), calls)


def prometheus(file: IO[str], size: int) -> float:
    values = np.round(RNG.gamma(2.0, 5.0, (32, POINTS)), 3)
    texts = [
        ",".join(f'[{START_S + 60 * k},"{value}"]' for k, value in enumerate(row)) + "]}" for row in values.tolist()
    ]
    file.write('{"status":"success","data":{"resultType":"matrix","result":[')

    def series(i: int) -> str:
        return (
            f'{"," if i else ""}{{"metric":{{"node":"node-{i}","instance":"10.0.0.{i % 250}:9100"}},'
            f'"values":[{texts[i % 32]}'
        )

    total = 60.0 * _repeated(file, size, series, values.sum(axis=1))
    file.write("]}}")
    return total


def kubectl(file: IO[str], size: int) -> float:
    file.write('{\n    "apiVersion": "v1",\n    "items": [\n')
    usual = {"requests": {"cpu": "500m", "memory": "256Mi"}}
    spec = {"containers": [{"name": "c", "image": "web:1", "resources": usual}]}
    managed = [{"manager": "kubelet", "operation": "Update", "fieldsV1": {f"f:{k}": {} for k in range(300)}}]
    web = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": spec}}
    can = {"allocatable": {"cpu": "8", "memory": "16Gi"}, "conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [{"kind": "Node", "metadata": {"name": f"n{k}"}, "status": can} for k in range(4)]
    items = [*nodes, {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": web}]
    file.write(",\n".join(json.dumps(item, indent=4) for item in items))
    meta = {"name": "@", "namespace": "shop", "uid": "@", "creationTimestamp": "2026-01-01T00:00:00Z"}
    owner = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4"}], "labels": {"pod-template-hash": "5d4"}}
    pod = json.dumps(
        {
            "kind": "Pod",
            "metadata": meta | owner | {"managedFields": managed},
            "spec": spec | {"nodeName": "n1"},
            "status": {"phase": "Running", "conditions": can["conditions"]},
        },
        indent=4,
    )
    pods = _repeated(file, size, lambda i: ",\n" + pod.replace("@", f"web-5d4-{i}"), np.ones(1))
    file.write('\n    ],\n    "kind": "List"\n}\n')
    return pods


def _repeated(file: IO[str], size: int, block: Callable[[int], str], totals: np.ndarray) -> float:
    """Write blocks until the file has `size` bytes; the sum of what was written, by `totals` that go round."""
    i, total = 0, 0.0
    while file.tell() < size:
        for _ in range(1 + int((size - file.tell()) // MIB > 64)):
            file.write(block(i))
            total += float(totals[i % len(totals)])
            i += 1
    return total


KINDS: dict[str, tuple[Callable[[IO[str], int], float], str, list[str]]] = {
    "azure-functions": (azure, "x.d01.csv", ["azure-functions", "{}", "--stations", "16"]),
    "csv long": (
        csv_long,
        "long.csv",
        ["csv", "{}", "--delimiter", ";", "--value", "value", "--node", "node", *TIMES, *RPS, "--top", "20"],
    ),
    "csv wide": (csv_wide, "wide.csv", ["csv", "{}", *TIMES, *RPS, "--top", "20"]),
    "alibaba-microservices": (
        alibaba,
        "MSRTMCR_0.csv",
        ["alibaba-microservices", "{}", "--calls-per-s", "1000", "--stations", "16"],
    ),
    "prometheus": (prometheus, "p.json", ["prometheus", "{}", *RPS, "--node", "node", "--top", "20"]),
    "prometheus, one load": (prometheus, "p.json", ["prometheus", "{}", *RPS, "--duplicates", "sum"]),
    "kubectl": (kubectl, "dump.json", ["kubectl", "{}"]),
}
"""What is made, as which file, and the command that reads it."""


def measure(kind: str, mib: float, folder: Path) -> str:
    """A row of the table: size, time, memory, and what of the source came in."""
    make, name, command = KINDS[kind]
    source, out = folder / name, folder / "out.json"
    with source.open("w") as file:
        total = make(file, round(mib * MIB))
    words = [sys.executable, "-m", "services.cli.main", "import", *(word.format(source) for word in command)]
    began = time.perf_counter()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen([*words, "--out", str(out)], stderr=said)
        _, status, spent = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        said.seek(0)
        stderr = said.read()
    size = source.stat().st_size
    source.unlink()
    if status:
        return f"| {kind} | failed: {stderr[-300:]} |"
    pattern = r"requests: ([\d,.e+]+\d)" if kind != "kubectl" else r"([\d,]+) pods of"
    found = re.search(pattern, stderr)
    told = float(found[1].replace(",", "")) if found else float("nan")
    same = abs(told - total) <= TOLERANCE * total
    row = f"{size / 1e9:.2f} GB | {wall_s:.1f} s | {spent.ru_utime + spent.ru_stime:.1f} s"
    row += f" | {spent.ru_maxrss / 1024:.0f} MiB"
    return f"| {kind} | {row} | {'equal' if same else f'{told:.10g} of {total:.10g}'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[[], *KINDS], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--mib", type=float, default=954.0, help="size of every file")
    parser.add_argument("--folder", type=Path, default=None, help="where files are made, and removed")
    given = parser.parse_args()
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    print("| kind | file | time | CPU time | peak memory | totals |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for kind in given.kinds or KINDS:
            print(measure(kind, given.mib, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
