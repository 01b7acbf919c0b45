"""What `lwmecps up` takes, against another checkout: `python -m bench.idle FOLDER [--rounds N]`.

Both start the same five processes (no gateway), wait, and meta-train once; rounds alternate. Memory is the resident set
of all processes (`/proc/PID/smaps_rollup`, shared pages counted in each; the proportional set is printed beside it).
FOLDER is a worktree of the other commit; it needs no installation.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.processes import ONE_THREAD
from lwmecps_core.specs import TaskDistribution
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common import convert
from services.common.client import connect

HERE = Path(__file__).resolve().parent.parent
MOST = {"rss_idle": 0.6, "rss_after_run": 0.4, "ready_s": 0.5, "ready_cpu_s": 0.5, "first_run_cpu_s": 1.0}
"""Figure → the most of the other checkout's that is allowed; `first_run_cpu_s` is from the start to the run's end."""
SETTLE_S = 3.0
EPOCHS, TASKS = 2, 20
WAIT_S = 900.0
ENDED = (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)
Figures = dict[str, float]


@dataclass(frozen=True)
class Up:
    """A running system: its processes, and where its services are."""

    process: "subprocess.Popen[str]"
    where: dict[str, str]
    ready_s: float

    def members(self) -> list[psutil.Process]:
        """The terminal and all below it."""
        terminal = psutil.Process(self.process.pid)
        return [terminal, *terminal.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time of all so far, ended children included."""
        return sum(sum(member.cpu_times()[:4]) for member in self.members())

    def memory(self) -> dict[str, tuple[float, float]]:
        """Resident and proportional set in MiB, by module."""
        return {_name(member): _sets(member.pid) for member in self.members()}


def _name(member: psutil.Process) -> str:
    parts = [part for part in member.cmdline() if part.startswith("services.")]
    return parts[0] if parts else member.name()


def _sets(pid: int) -> tuple[float, float]:
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("Rss", "Pss"))  # type: ignore[return-value]


@contextmanager
def up(folder: Path) -> Iterator[Up]:
    """The system of a checkout, ready; drained at the end."""
    command = [sys.executable, "-m", "services.cli.main", "up"]
    env = os.environ | ONE_THREAD | {"PYTHONPATH": str(folder), "LWMECPS_TRACKING": "jsonl"}
    told = subprocess.run([*command, "--help"], cwd=folder, env=env, capture_output=True, text=True, check=True).stdout
    command += [*("--json", "--registry-port", "0", "--env-port", "0", "--learner-port", "0")]
    command += ["--no-gateway"] if "--no-gateway" in told else []
    with tempfile.TemporaryDirectory() as state:
        began, said = time.perf_counter(), ""
        process = subprocess.Popen(
            [*command, "--state", state],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            while not said.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, f"{folder}: ended before it was ready"
                said += line
            yield Up(process, json.loads(said), time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def measure(folder: Path) -> tuple[Figures, dict[str, Any]]:
    """All figures of a checkout, and its processes' memory before and after the run."""
    with up(folder) as system:
        ready_cpu_s = system.cpu_s()
        time.sleep(SETTLE_S)
        idle, waited_cpu_s = system.memory(), system.cpu_s()
        meta_train(system.where)
        run_cpu_s = system.cpu_s() - waited_cpu_s
        time.sleep(SETTLE_S)
        after = system.memory()
    learner = "services.learner_service"
    figures = {
        "ready_s": system.ready_s,
        "ready_cpu_s": ready_cpu_s,
        "rss_idle": sum(rss for rss, _ in idle.values()),
        "pss_idle": sum(pss for _, pss in idle.values()),
        "rss_after_run": after[learner][0],
        "pss_after_run": after[learner][1],
        "first_run_cpu_s": ready_cpu_s + run_cpu_s,
    }
    return figures, {"idle": idle, "after": after}


def meta_train(where: dict[str, str]) -> None:
    """A short meta-training, from its request to its end."""
    with connect(where["registry"]) as registry_channel, connect(where["learner"]) as learner_channel:
        registry, learner = TaskRegistryServiceStub(registry_channel), LearnerServiceStub(learner_channel)
        cities = convert.distribution_to_message(TaskDistribution(nodes=4, deployments=4))
        task = registry.CreateTask(registry_pb2.CreateTaskRequest(distribution=cities)).task
        asked = learner_pb2.StartMetaTrainingRequest(task_ids=[task.id])
        asked.algorithm.ppo.SetInParent()
        asked.settings.num_meta_epochs, asked.settings.meta_batch_size = EPOCHS, TASKS
        run = learner.StartMetaTraining(asked, timeout=WAIT_S).run
        end = time.monotonic() + WAIT_S
        while run.state not in ENDED and time.monotonic() < end:
            time.sleep(0.1)
            run = registry.GetRun(registry_pb2.GetRunRequest(run_id=run.id)).run
        assert run.state == run_pb2.RUN_STATE_COMPLETED, run


def main() -> int:
    """Print every figure's ratio; 1 where one is above what it may be."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found: dict[str, list[Figures]] = {"ours": [], "theirs": []}
    folders = {"ours": HERE, "theirs": args.other.resolve()}
    for i in range(args.rounds):
        for who in sorted(folders, reverse=bool(i % 2)):
            figures, memory = measure(folders[who])
            found[who].append(figures)
            print(who, {name: round(value, 2) for name, value in figures.items()}, flush=True)
            print(" ", {when: {k: round(rss) for k, (rss, _) in sets.items()} for when, sets in memory.items()})
    missed = False
    for name in found["ours"][0]:
        ours, theirs = (median(figures[name] for figures in found[who]) for who in ("ours", "theirs"))
        most = MOST.get(name)
        missed |= most is not None and ours / theirs > most
        print(f"{name:16} {ours:9.2f} {theirs:9.2f} ratio {ours / theirs:.2f}" + (f" (at most {most})" if most else ""))
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
