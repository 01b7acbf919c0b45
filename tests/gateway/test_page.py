"""The page in a real Chromium without a screen: by click, in light, dark and narrow; no console errors."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.results import Row
from lwmecps_core.run_config import EvaluateConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from services.cli.main import app
from services.common import convert
from services.env_service import backends
from services.gateway import json_forms
from services.task_registry.domain import MetricPoint, Report, RunState
from services.task_registry.store import utc_now
from tests.gateway.system import InProcess, running
from tests.learner_service.fakes import wait_until
from tests.task_registry.making import make_policy, make_run_spec, make_task

selenium = pytest.importorskip("selenium", reason="pip install selenium brings the browser's remote control")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

from tests.gateway.browser import MISSING, PATIENCE_S, Page  # noqa: E402

pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(bool(MISSING), reason=MISSING)]
CITY = TaskDistribution(nodes=3, deployments=2, horizon=6)
BYTES = {"Accept": "application/octet-stream"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A system that keeps two runs with metrics and rows, one run that waits, and nobody who works on runs."""
    with running(tmp_path_factory.mktemp("page"), slots=0) as made:
        body = b"family: mec_city\nnodes: 3\ndeployments: 3\nhorizon: 6\n"
        task = httpx.post(f"{made.url}/page/tasks?name=city", content=body, timeout=60).json()["tasks"][0]["id"]
        runs = made.store.runs
        for label, better in (("first", 1.0), ("second", 0.0)):
            run = runs.create(make_run_spec(task, settings=EvaluateConfig(baseline="static"), label=label))
            held = runs.claim("somebody")
            assert held is not None and held.id == run.id
            points = tuple(
                MetricPoint(n, s, s * 0.5, utc_now()) for s in range(1, 9) for n in ("total_reward", "latency")
            )
            rows = tuple(
                Row(f"t{i}", label, k, -20.0 + i + better + 0.1 * k * i, 90, 200, 9, 0.01, 0.1, 0.5)
                for i in range(6)
                for k in (0, 1)
            )
            runs.report(run.id, held.token, Report(RunState.COMPLETED, 8, 8, metrics=points, rows=rows))
        runs.create(make_run_spec(task, settings=TrainConfig(total_episodes=3), label="waits"), paused=True)
        yield made


@dataclass
class Learnt:
    """A system with a learner, a task of one cluster, the run that trained a policy on it, and the policy."""

    system: InProcess
    task: str
    run: str
    policy: str


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learnt]:
    """A policy that remembers, and what it remembers of a task, kept in the registry as `known`."""
    with running(tmp_path_factory.mktemp("learnt")) as made, httpx.Client(base_url=made.url, timeout=120) as http:
        spec = json_forms.show(convert.task_to_message(replace(draw(CITY, 0), interval_s=1.0)), lists=True)
        task = http.post("/v1/tasks", json={"spec": spec}).json()["task"]["id"]
        ppo = {"ppo": {"context": "CONTEXT_STATISTICS"}}
        asked = {"taskIds": [task], "settings": {"totalEpisodes": 4}, "algorithm": ppo}
        run = http.post("/v1/train", json=asked).json()["run"]["id"]
        wait_until(lambda: made.store.runs.get(run).state is RunState.COMPLETED, PATIENCE_S)
        policy = made.store.runs.get(run).result_policy_id
        where = [x for name in ("registry", "env", "learner") for x in (f"--{name}", made.addresses[name])]
        acting = ["act", policy, "--task", task, "--steps", "3", "--memory", "registry:known"]
        acted = CliRunner().invoke(app, [*where, *acting])
        assert acted.exit_code == 0, acted.output
        yield Learnt(made, task, run, policy)


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("light", 1200, False), ("dark", 1200, True), ("narrow", 400, True)]
)
def test_runs_are_listed_opened_compared_and_changed(
    filled: InProcess, window: Callable[..., Page], name: str, width: int, dark: bool
) -> None:
    page = window(filled.url, width, dark)
    page.open("/")
    page.shows("first", "second", "waits", "completed")
    page.shot(f"runs-{name}")
    first, second = (
        next(r.id for r in filled.store.runs.list().items if r.spec.label == x) for x in ("first", "second")
    )
    page.open(f"/#/runs/{first}?with={second}")
    page.shows(
        "this run minus it, paired", "latency", "total_reward", "+1.", "reward by inner steps", '"label": "first"'
    )
    assert "*" in page.text(), "the difference excludes zero"
    wide = page.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page must not be wider than the window"
    page.shot(f"run-{name}")
    assert not page.errors()


def test_a_run_that_waits_is_resumed_and_cancelled_by_click(filled: InProcess, window: Callable[..., Page]) -> None:
    page = window(filled.url)
    run = next(run.id for run in filled.store.runs.list().items if run.spec.label == "waits")
    page.open(f"/#/runs/{run}")
    page.shows("paused")
    page.click("Resume")
    wait_until(lambda: filled.store.runs.get(run).desired_state is RunState.RUNNING, PATIENCE_S)
    held = filled.store.runs.claim("somebody")
    assert held is not None and held.id == run
    filled.store.runs.heartbeat(run, held.token, waiting_for="a worker: none has reported for 20 s")
    page.shows("waits for", "a worker: none has reported for 20 s")
    page.click("Cancel")
    wait_until(lambda: filled.store.runs.get(run).desired_state is RunState.CANCELLED, PATIENCE_S)
    filled.store.runs.report(run, held.token, Report(RunState.CANCELLED))
    page.shows("cancelled")
    assert filled.store.runs.get(run).state is RunState.CANCELLED
    assert not page.errors()


def test_a_policy_is_found_from_its_run_downloaded_and_acts_for_a_day(
    learnt: Learnt, window: Callable[..., Page], tmp_path: Path
) -> None:
    page = window(learnt.system.url)
    page.driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open(f"/#/runs/{learnt.run}")
    page.shows("completed", "info run started kind=train", "info run let go")
    page.shot("run-with-log")
    page.click(learnt.policy)
    page.shows("it decides", "Settings of its algorithm")
    page.click("Download weights")
    file = tmp_path / f"{learnt.policy}.safetensors"
    wait_until(file.exists, PATIENCE_S)
    assert (
        file.read_bytes()
        == httpx.get(f"{learnt.system.url}/v1/policies/{learnt.policy}/weights", headers=BYTES).content
    )
    page.click("Act on a task for a day")
    page.click("Act")
    wait_until(lambda: page.button("Act").is_enabled(), PATIENCE_S)
    page.shows("interval 6 of 6", "of the day", "failed share")
    assert [x.text for x in page.driver.find_elements(By.CSS_SELECTOR, "section h3")] == [learnt.policy, "as deployed"]
    page.shot("replay")
    slider = page.driver.find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.HOME)
    page.shows("interval 1 of 6")
    assert not page.errors()


def test_a_live_cluster_is_followed_until_it_is_stopped(
    learnt: Learnt, window: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[TaskSpec] = []
    monkeypatch.setitem(backends.CLUSTERS, "kubernetes", lambda task: (opened.append(task), SimulatedCluster(task))[1])
    page = window(learnt.system.url)
    page.open(f"/#/replay?task={learnt.task}")
    page.shows("the real cluster, live")
    page.choose("on", "the real cluster, live")
    page.choose("Policy", "nobody: as deployed")
    page.click("Act")
    page.shows("interval 12 of")  # the task's own day has 6: the episode of a real cluster has no end
    page.click("Stop")
    wait_until(lambda: not page.button("Stop").is_enabled(), PATIENCE_S)
    assert opened[0].kubernetes is not None and not opened[0].kubernetes.manage, "who only watches sets nothing"
    assert not page.errors()


def test_what_a_policy_believes_stands_beside_what_is_written(learnt: Learnt, window: Callable[..., Page]) -> None:
    page = window(learnt.system.url)
    page.open(f"/#/tasks/{learnt.task}")
    page.shows("What a policy believes about it: known")
    page.driver.find_element(By.TAG_NAME, "summary").click()
    page.shows("statistics of policy-", "a replica costs", "reward per interval", "in the task", "service time")
    page.shot("task-beliefs")
    assert not page.errors()


def test_adaptation_is_drawn_of_a_single_task_and_a_run_to_compare_with_is_chosen(
    filled: InProcess, window: Callable[..., Page]
) -> None:
    page = window(filled.url)
    runs = {run.spec.label: run.id for run in filled.store.runs.list().items}
    page.open(f"/#/runs/{runs['first']}")
    page.shows("reward by inner steps")
    page.choose("Task", "t3")
    assert page.driver.find_element(
        By.CSS_SELECTOR, 'svg[aria-label^="reward by inner steps: mean"][aria-label*="t3 "]'
    )
    page.choose("a run to compare with", f"second · completed · {runs['second']}")
    page.shows("this run minus it, paired", "+1.")
    assert not page.errors()


def test_clusters_that_were_met_one_after_another_are_shown_as_a_matrix(
    learnt: Learnt, window: Callable[..., Page]
) -> None:
    with httpx.Client(base_url=learnt.system.url, timeout=120) as http:
        spec = json_forms.show(convert.task_to_message(replace(draw(CITY, 1), name="second")), lists=True)
        second = http.post("/v1/tasks", json={"spec": spec}).json()["task"]["id"]
        few = {"episodesPerCluster": 4, "evaluationEpisodes": 1}
        asked = {"taskIds": [learnt.task, second], "policyId": learnt.policy, "settings": few}
        run = http.post("/v1/continual", json=asked).json()["run"]["id"]
        wait_until(lambda: learnt.system.store.runs.get(run).state is RunState.COMPLETED, PATIENCE_S)
        rows = http.get(f"/v1/runs/{run}/rows").json()["rows"]
    page = window(learnt.system.url)
    page.open(f"/#/runs/{run}")
    before, after = (f"{r['reward']:.2f}"[:4] for r in (rows[1], rows[-1]))
    page.shows("met", "second", "average_reward", "forgetting", f"({before}", after)
    assert not page.errors()


def test_a_task_is_checked_and_created(filled: InProcess, window: Callable[..., Page]) -> None:
    page = window(filled.url, 1200)
    page.open("/#/tasks")
    page.shows("New task", "city")
    area = page.driver.find_element(By.TAG_NAME, "textarea")
    page.driver.execute_script("arguments[0].value = 'family: mec_city\\nnodes: many\\n'", area)
    page.click("Check")
    page.shows("nodes: Input should be a valid integer")
    page.driver.execute_script("arguments[0].value = 'family: mec_city\\nnodes: 5\\n'", area)
    page.click("Create")
    page.shows("created task-", "5 nodes, 4 deployments")
    nodes = page.driver.find_element(By.XPATH, "//label[starts-with(., 'nodes')]/input")
    nodes.clear()
    nodes.send_keys("7")
    page.choose("family", "load_balancing")
    page.click("Create")
    page.shows("distribution load_balancing: 7 nodes, 4 deployments")
    page.shot("tasks")
    # The refused check is a 400, which Chromium logs as such.
    assert not [error for error in page.errors() if "400 (Bad Request)" not in error]


def test_the_list_and_its_links_are_used_by_keyboard(filled: InProcess, window: Callable[..., Page]) -> None:
    page = window(filled.url)
    page.open("/")
    page.shows("first")
    for _ in range(40):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        if "#/runs/run-" in (page.driver.switch_to.active_element.get_attribute("href") or ""):
            break
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.shows("Settings")


def test_the_documentation_needs_no_other_host(filled: InProcess, window: Callable[..., Page]) -> None:
    page = window(filled.url)
    page.open("/docs")
    page.shows("TaskRegistryService", "Registers a task or a task distribution.", "lwmecps-gym")
    page.driver.find_element(By.XPATH, "//summary[contains(., 'GET /v1/runs ·')]").click()
    page.shows("Only runs in this state")
    page.click("Send")
    page.shows('"runs": [')
    page.shot("docs")
    assert not page.errors()
    names = page.driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert names and all(name.startswith(filled.url) for name in names)


def test_many_runs_are_paged(tmp_path: Path, window: Callable[..., Page]) -> None:
    with running(tmp_path, slots=0) as system:
        task = httpx.post(f"{system.url}/page/tasks", content=b"nodes: 2", timeout=60).json()["tasks"][0]["id"]
        for i in range(130):
            system.store.runs.create(make_run_spec(task, settings=TrainConfig(), label=f"run {i}"))
        page = window(system.url)
        page.open("/")
        page.shows("run 129", "page 1")
        page.click("Older")
        page.shows("run 79", "page 2")
        page.click("Older")
        page.shows("run 0", "page 3")
        assert not page.errors()


def test_the_task_and_the_policy_that_are_asked_for_are_chosen_or_said_to_be_missing(
    tmp_path: Path, window: Callable[..., Page]
) -> None:
    with running(tmp_path, slots=0) as system:
        tasks = [system.store.tasks.create(make_task(f"task {i}")).id for i in range(201)]
        policies = [make_policy(system.store, f"policy {i}").id for i in range(201)]
        page = window(system.url)

        def chosen(where: str) -> list[list[str]]:
            page.open(where)
            wait_until(lambda: len(page.driver.find_elements(By.TAG_NAME, "select")) == 4, PATIENCE_S)
            lists = [Select(x) for x in page.driver.find_elements(By.CSS_SELECTOR, "label select")]
            return [[str(x.get_attribute("value")) for x in lists[i].all_selected_options] for i in (0, 2)]

        for i in (0, 1, 200):  # the oldest is not among the newest 200
            asked = f"/#/replay?task={tasks[i]}&policy={policies[i]}"
            assert chosen(asked) == [[tasks[i]], [policies[i]]]
        assert not page.errors()
        assert chosen(f"/#/replay?task=task-gone&policy={policies[0]}") == [[], [policies[0]]]
        page.shows("There is no task task-gone.")
        page.click("Act")
        page.shows("Choose a task first.")
        assert chosen(f"/#/replay?task={tasks[0]}&policy=policy-gone") == [[tasks[0]], []]
        page.shows("There is no policy policy-gone.")
        page.click("Act")
        page.shows("Choose a policy first.")


def _light(colour: str) -> float:
    """Relative luminance (WCAG 2) of a computed colour."""
    parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_the_replicas_of_a_node_are_read_over_its_dot(
    filled: InProcess, window: Callable[..., Page], dark: bool
) -> None:
    page = window(filled.url, 400, dark)
    task = next(one.id for one in filled.store.tasks.list().items if one.name == "city")
    page.open(f"/#/replay?task={task}")
    page.shows("nobody: as deployed")
    page.click("Act")
    page.shows("interval 6 of 6")
    wait_until(lambda: page.button("Act").is_enabled(), PATIENCE_S)
    page.shot(f"replay-narrow-{'dark' if dark else 'light'}")
    # At once: the picture may be drawn anew between two questions.
    asked = "const style = getComputedStyle(document.querySelector('g > circle + circle + text'));"
    asked += "return [style.fill, style.stroke, style.strokeWidth, style.paintOrder]"
    fill, stroke, width, order = page.driver.execute_script(asked)
    assert order.startswith("stroke") and float(width.removesuffix("px")) >= 2, "a rim behind the digits"
    dim, bright = sorted((_light(fill), _light(stroke)))
    assert (bright + 0.05) / (dim + 0.05) >= 7
    assert not page.errors()
