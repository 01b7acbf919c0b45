"""One meta-training run under a seeded schedule of kills, held against the same run undisturbed."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from lwmecps_core import policy as policy_file
from lwmecps_core.errors import LwmecpsError
from lwmecps_core.run_config import MetaConfig, PPOConfig
from lwmecps_core.specs import TaskDistribution
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli.clients import Clients
from services.common import convert
from tests.chaos.system import LEASE_S, PAUSED, System

CITY = TaskDistribution(family="mec_city", env_id="lwmecps-v3", nodes=2, deployments=2, max_replicas=4, horizon=20)
PPO = PPOConfig(hidden_size=(8, 8))
LONGEST_DOWN_S = 2.5
FATES = ("made", "used", "dropped", "queued")


@dataclass(frozen=True)
class Kill:
    """What dies when the run has reached `step` and `after_s` have passed, and how long it stays down."""

    step: int
    victim: str
    after_s: float
    down_s: float


@dataclass
class Outcome:
    """What `python -m tests.chaos` writes; transitions, and seconds on the wall."""

    seed: int
    kills: int = 0
    pauses: int = 0
    made: int = 0
    used: int = 0
    dropped: int = 0
    queued: int = 0
    expected_used: int = 0
    weights_equal: bool = False
    balanced: bool = False
    wall_s: float = 0.0
    undisturbed_s: float = 0.0
    killed: dict[str, int] = field(default_factory=dict)
    ended_by_themselves: dict[str, int] = field(default_factory=dict)
    database: str = "sqlite"
    redis: str = "appendfsync always"

    def holds(self) -> bool:
        """Whether what docs/guarantees.md promises was kept."""
        return self.weights_equal and self.balanced and self.used == self.expected_used and not self.queued


def meta(epochs: int) -> MetaConfig:
    """The smallest meta-training that has inner steps."""
    return MetaConfig(num_meta_epochs=epochs, meta_batch_size=2, adaptation_steps=2, episodes_per_step=2)


def schedule(seed: int, victims: list[str], kills: int, epochs: int) -> list[Kill]:
    """The kills, by step; every victim has its turn before one has another. A fifth as many pauses come on top."""
    rng = random.Random(seed)
    turns = [name for _ in range(kills // len(victims) + 1) for name in rng.sample(victims, len(victims))]
    steps = sorted(rng.randrange(0, max(1, epochs * 9 // 10)) for _ in range(kills))
    plan = [
        Kill(step, victim, rng.uniform(0, 0.5), rng.uniform(0, LONGEST_DOWN_S))
        for step, victim in zip(steps, turns, strict=False)
    ]
    learners = [name + PAUSED for name in victims if name.startswith("learner")]
    for number in range(kills // 5 if learners else 0):
        step, down_s = rng.randrange(0, max(1, epochs * 9 // 10)), LEASE_S + rng.uniform(1, 3)
        plan.append(Kill(step, learners[number % len(learners)], rng.uniform(0, 0.5), down_s))
    return sorted(plan, key=lambda kill: kill.step)


class Storm:
    """Carries a schedule out, one `tick` after the other."""

    def __init__(self, system: System, kills: list[Kill], say: Callable[[str], None]) -> None:
        self._system, self._say = system, say
        self._waiting, self._due = list(kills), list[tuple[float, Kill]]()
        self._down: list[tuple[float, str]] = []
        self.killed: dict[str, int] = {}

    @property
    def over(self) -> bool:
        """Whether nothing is left to kill or to start."""
        return not (self._waiting or self._due or self._down)

    def tick(self, step: int) -> None:
        """Kill and start what is due when the run has made `step` steps."""
        now = time.monotonic()
        while self._waiting and self._waiting[0].step <= step:
            kill = self._waiting.pop(0)
            self._due.append((now + kill.after_s, kill))
        for at, kill in [x for x in self._due if x[0] <= now]:
            down = self._is_down(kill.victim) or self._is_down(kill.victim.rstrip(PAUSED))
            if down or not self._system.kill(kill.victim):
                continue  # still down from the last time: its turn comes once it is up
            self._due.remove((at, kill))
            self.killed[kill.victim] = self.killed.get(kill.victim, 0) + 1
            self._down.append((time.monotonic() + kill.down_s, kill.victim))
            what = "paused" if kill.victim.endswith(PAUSED) else "killed"
            self._say(f"step {step:4}  {what} {kill.victim}, down for {kill.down_s:.1f} s")
        for back_at, name in [x for x in self._down if x[0] <= now]:
            self._down.remove((back_at, name))
            self._system.start(name)
        self._system.revive(frozenset(name for _, name in self._down))

    def _is_down(self, name: str) -> bool:
        return any(name == each for _, each in self._down)


def create_task(clients: Clients) -> str:
    """Id of the registered tasks."""
    request = registry_pb2.CreateTaskRequest(distribution=convert.distribution_to_message(CITY))
    return str(clients.registry("CreateTask", request).task.id)


def start_run(clients: Clients, task_id: str, seed: int, epochs: int, label: str) -> str:
    """Id of an accepted run."""
    request = learner_pb2.StartMetaTrainingRequest(task_ids=[task_id], seed=seed, label=label, request_id=label)
    request.settings.CopyFrom(convert.to_message(meta(epochs), type(request.settings)))
    request.algorithm.CopyFrom(convert.algorithm_to_message(PPO))
    return str(clients.learner("StartMetaTraining", request).run.id)


def follow(clients: Clients, run_id: str, timeout_s: float, tick: Callable[[int], None] = lambda step: None) -> Any:
    """The run when it has ended; `tick` is called with its step all the time. Fails after `timeout_s`."""
    deadline, step = time.monotonic() + timeout_s, 0
    while True:
        with suppress(LwmecpsError):
            run = clients.registry("GetRun", registry_pb2.GetRunRequest(run_id=run_id), 1.0).run
            step = run.step
            if run.state in (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED):
                return run
        tick(step)
        assert time.monotonic() < deadline, f"run {run_id} is at step {step} after {timeout_s:.0f} s"
        time.sleep(0.05)


def weights(clients: Clients, run: Any) -> dict[str, bytes]:
    """Every tensor of a run's policy, as bytes by name."""
    assert run.state == run_pb2.RUN_STATE_COMPLETED, f"{run_pb2.RunState.Name(run.state)}: {run.error}"
    request = registry_pb2.DownloadPolicyWeightsRequest(policy_id=run.result_policy_id)
    data = b"".join(part.chunk for part in clients.registry.stream("DownloadPolicyWeights", request))
    policy = policy_file.from_bytes(data, run.result_policy_id)
    found = {f"extra/{name}": tensor.numpy().tobytes() for name, tensor in policy.extra.items()}
    for kind, tree in (("params", policy.params), ("learnt", policy.learnt)):
        found |= {f"{kind}/{g}/{n}": t.numpy().tobytes() for g, names in tree.items() for n, t in names.items()}
    assert found
    return found


def ledger(run: Any) -> dict[str, int]:
    """What became of a run's transitions, as its learners reported it."""
    return {name: int(run.latest_metrics[f"rollouts_{name}"]) for name in FATES}


def storm(
    system: System, *, seed: int, kills: int, epochs: int, timeout_s: float, say: Callable[[str], None] = print
) -> Outcome:
    """Train undisturbed, then under `kills` kills, and compare."""
    began, clients = time.monotonic(), system.clients
    task_id = create_task(clients)
    calm = follow(clients, start_run(clients, task_id, seed, epochs, "calm"), timeout_s)
    expected, outcome = weights(clients, calm), Outcome(seed)
    outcome.expected_used = ledger(calm)["used"]
    outcome.undisturbed_s = round(time.monotonic() - began, 1)
    say(f"undisturbed: {epochs} epochs in {outcome.undisturbed_s:.1f} s, ledger {ledger(calm)}")

    run_id = start_run(clients, task_id, seed, epochs, "stormy")
    weather = Storm(system, schedule(seed, system.victims(), kills, epochs), say)
    run = follow(clients, run_id, timeout_s, weather.tick)
    while not weather.over:
        weather.tick(epochs)
        time.sleep(0.05)
    system.wait_until_healthy()
    outcome.weights_equal = weights(clients, run) == expected
    for name, value in ledger(run).items():
        setattr(outcome, name, value)
    outcome.balanced = outcome.made == outcome.used + outcome.dropped + outcome.queued
    outcome.killed = weather.killed
    outcome.pauses = sum(n for name, n in weather.killed.items() if name.endswith(PAUSED))
    outcome.kills = sum(weather.killed.values()) - outcome.pauses
    outcome.ended_by_themselves = system.restarts
    outcome.database = "postgresql" if system.postgres else "sqlite"
    outcome.wall_s = round(time.monotonic() - began, 1)
    return outcome


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as it is written."""
    return asdict(outcome) | {"holds": outcome.holds()}
