"""Speed against another checkout, side by side: `python -m bench.against FOLDER [--only NAME]… [--rounds N]`.

Each checkout measures in a process of its own; rounds alternate, so that both see the same machine. FOLDER is a
worktree of the other commit (`git worktree add FOLDER COMMIT`); it needs no installation, our packages serve both.
"""

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.processes import ONE_THREAD

HERE = Path(__file__).resolve().parent.parent
FLOOR = 0.97

WORKER = """
from bench.policies import v3
from bench.timing import rate
from bench.worker import collection
work = collection(v3())
measure = lambda: rate(work, 1.0)
"""
STEP_UNARY = """
from itertools import cycle
from bench.stepping import env_service, open_session, tensor
from bench.timing import median_latency_us
from protos.lwmecps.env.v1 import env_pb2 as pb
session = open_session(stack.enter_context(env_service()), 1)
actions = cycle(session.actions)
step = lambda: session.stub.StepSession(pb.StepSessionRequest(session_id=session.id, action=tensor(next(actions))))
measure = lambda: 1e6 / median_latency_us(step, 400)
"""
ROLLOUT_PATH = """
from bench import rollout_path as r
from bench.processes import running
from bench.timing import wall_rate
server = stack.enter_context(r.LocalRedis())
stack.enter_context(running(r.WORKER, ["--redis-url", server.url, "--log-level", "error"], {}))
client = r.connect(server.url)
queues = (r.RedisQueue(client, name, limits) for name, limits in
          ((r.REQUEST_STREAM, r.REQUEST_LIMITS), (r.reply_stream(r.RUN_ID), r.REPLY_LIMITS)))
collecting = getattr(r, "collecting", None) or r._collecting
work = collecting(r.QueueCollector(r.RUN_ID, *queues, r.RedisPolicyStore(client)))
measure = lambda: wall_rate(work, 2.0)
"""
GYM_SINGLE = """
import gymnasium
import lwmecps_core.envs
from bench.cases import square_task
from bench.simulator import actions
from bench.timing import rate
task = square_task(4, "lwmecps-{}")
env, drawn = gymnasium.make(task.env_id, task=task), [a[0] for a in actions(task, 1)]
def work():
    env.reset(seed=1)
    for t in range(task.horizon):
        env.step(drawn[t % len(drawn)])
    return task.horizon
measure = lambda: rate(work, 0.5)
"""
CREATE_RUN = """
import importlib.util
from bench.timing import wall_rate
found = importlib.util.spec_from_file_location("create_run", {!r})
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
work = stack.enter_context(module.creating())
measure = lambda: wall_rate(work, 2.0)
"""
TASK_LIST = """
import tempfile, time
import numpy as np
from bench.cases import square_task
from protos.lwmecps.common.v1.tensor_pb2 import DTYPE_FLOAT64, Tensor
from protos.lwmecps.registry.v1 import registry_pb2 as pb, registry_pb2_grpc
from services.common import convert
from services.common.client import Caller, connect
from services.common.server import start
from services.common.settings import ServerSettings
from services.task_registry.__main__ import registry_service
from services.task_registry.artefacts import ArtefactStore
from services.task_registry.database import Database
from services.task_registry.store import Store
folder = stack.enter_context(tempfile.TemporaryDirectory())
database = Database(f"sqlite:///{folder}/registry.db")
database.migrate()
stack.callback(database.close)
server = start(ServerSettings(), [registry_service(Store(database, ArtefactStore(f"{folder}/artefacts")))])
stack.callback(server.drain, 0)
stub = registry_pb2_grpc.TaskRegistryServiceStub(stack.enter_context(connect(server.address)))
registry = Caller(server.address, stub)
for seed in range(39):
    request = pb.CreateTaskRequest(spec=convert.task_to_message(square_task(4)))
    request.spec.workload.pattern = 5  # recorded
    users = np.random.default_rng(seed).random((50_000, 4))
    numbers = Tensor(dtype=DTYPE_FLOAT64, shape=users.shape, data=users.tobytes())
    request.spec.workload.recorded_users.CopyFrom(numbers)
    registry("CreateTask", request)
def measure():
    began = time.perf_counter()
    found, page = 0, pb.ListTasksResponse()
    while not found or page.next_page_token:
        page = registry("ListTasks", pb.ListTasksRequest(page_token=page.next_page_token), 900.0)
        found += len(page.tasks)
    assert found == 39
    return 1 / (time.perf_counter() - began)
"""
TRAIN_STEP = """
import torch
from lwmecps_core import algorithms
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tree import expanded, gradients, tree_map
from services.cli.demo_settings import PPO
from bench.timing import rate
tasks = [draw(TaskDistribution(family="mec_city", env_id="lwmecps-{}", nodes=4, deployments=4), i) for i in range(20)]
algo = algorithms.make(PPO, env_spec(tasks[0]))
params, extra = algo.init(torch.Generator().manual_seed(0))
plan = CollectionPlan(seeds=tuple(range(20)), episodes=1)
batches = LocalCollector().collect(tasks, PolicySnapshot(PPO, params, extra, 0), plan)
samples = algo.prepare(expanded(params, 20), extra, stacked(batches), torch.Generator())
samples = dict((name, x.flatten(0, 1).unsqueeze(0)) for name, x in samples.items())
own = tree_map(lambda leaf: leaf.detach().clone().unsqueeze(0).requires_grad_(), params)
def work():
    gradients(algo.losses(own, extra, samples), own)
    return samples["weight"].numel()
work()
measure = lambda: rate(work, 1.0)
"""
TRAIN = """
from dataclasses import replace
from bench.timing import rate
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training import train
from services.cli.demo_settings import DemoSettings, remembering
demo = DemoSettings()
if {0!r} == "recurrent":
    demo = remembering(demo, "recurrent")
algorithm = demo.context_algorithm if {0!r} != "none" else demo.algorithm
training = demo.context_training if {0!r} != "none" else demo.multi_task
training = replace(training, total_episodes={1})
source = TaskDistribution(family="mec_city", env_id="lwmecps-v3", nodes=4, deployments=4)
def work():
    last = [progress for progress in train(source, algorithm, training, LocalCollector(), seed=0)][-1]
    return 120 * {1}
measure = lambda: rate(work, 2.0)
"""
META_STEP = """
from dataclasses import replace
from bench.timing import rate
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import FOMAMLConfig, MAMLConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training import meta_train
from services.cli.demo_settings import DemoSettings
demo = DemoSettings()
meta = replace(demo.meta, learner={}, warmup_epochs=0, num_meta_epochs=4)
source = TaskDistribution(family="mec_city", env_id="lwmecps-v3", nodes=4, deployments=4)
def work():
    return len(list(meta_train(source, demo.algorithm, meta, LocalCollector(), seed=0)))
measure = lambda: rate(work, 2.0)
"""
SIMULATOR_BATCH = """
from bench import simulator
from bench.timing import rate
work = simulator.episode(simulator.v4(4), 1024)
measure = lambda: rate(work, 0.5)
"""
PARTS = {
    "worker": WORKER,
    "worker_v4": WORKER.replace("v3", "v4").replace("bench.policies", "bench.simulator").replace("v4()", "v4(4)"),
    "simulator_batch_v4": SIMULATOR_BATCH,
    "train_step_v3": TRAIN_STEP.format("v3"),
    "train_step_v4": TRAIN_STEP.format("v4"),
    "train": TRAIN.format("none", 480),
    "train_statistics": TRAIN.format("statistics", 480),
    "train_recurrent": TRAIN.format("recurrent", 160),
    "meta_step_fomaml": META_STEP.format("FOMAMLConfig(rate_lr=1.0)"),
    "meta_step_maml": META_STEP.format("MAMLConfig()"),
    "rollout_path": ROLLOUT_PATH,
    "step_unary": STEP_UNARY,
    "gym_single_v3": GYM_SINGLE.format("v3"),
    "gym_single_v4": GYM_SINGLE.format("v4"),
    "create_run": CREATE_RUN.format(str(HERE / "bench" / "create_run.py")),
    "task_list": TASK_LIST,
}
"""What makes `measure`, which returns a rate (higher is better), in either checkout; `stack` closes what it opens."""

CHILD = """
import sys, torch
from contextlib import ExitStack
torch.set_num_threads(1)
with ExitStack() as stack:
    exec(sys.argv[1])
    for _ in sys.stdin:
        print(measure(), flush=True)
"""


class Checkout:
    """A process that measures `part` in a checkout whenever it is asked."""

    def __init__(self, folder: Path, part: str, stack: ExitStack) -> None:
        env = os.environ | ONE_THREAD | {"PYTHONPATH": str(folder)}
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", CHILD, PARTS[part]],
                cwd=folder,
                env=env,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert self._process.stdin is not None
        stack.callback(self._process.stdin.close)

    def measure(self) -> float:
        """One round's rate."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline() or "nan")


def ratios(part: str, other: Path, rounds: int) -> list[float]:
    """Our rate divided by the other's, round by round; the first round is a warm-up."""
    with ExitStack() as stack:
        ours, theirs = Checkout(HERE, part, stack), Checkout(other, part, stack)
        found = []
        for i in range(rounds + 1):
            order = (ours, theirs) if i % 2 else (theirs, ours)
            first, second = (checkout.measure() for checkout in order)
            found.append(first / second if i % 2 else second / first)
        return found[1:]


def main() -> int:
    """Print every part's ratio; 1 where one is below the floor."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--floor", type=float, default=FLOOR, help="least ratio (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    missed = False
    for part in args.only or PARTS:
        found = sorted(ratios(part, args.other.resolve(), args.rounds))
        missed |= median(found) < args.floor
        print(f"{part:14} {median(found):.3f} times the other (rounds {found[0]:.3f} to {found[-1]:.3f})", flush=True)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
