"""Alert rules and dashboard: checked by promtool, and every query run by Prometheus on a scrape of the services."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from scripts.list_metrics import PAGE, metrics, page
from services.cli.main import app
from services.cli.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
CITY = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\nmax_replicas: 4\nhorizon: 20\n"
NAMES = re.compile(r"lwmecps_\w+")


def _rules() -> dict[str, str]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def _panels() -> dict[str, list[str]]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in panels}


def _shown() -> list[str]:
    return [query for queries in _panels().values() for query in queries]


def test_the_page_lists_the_metrics_that_there_are() -> None:
    assert page() == PAGE.read_text(), "run `make protos`"


def test_queries_name_metrics_that_there_are_and_the_dashboard_shows_all() -> None:
    known = set(metrics())
    asked = {name for query in (*_rules().values(), *_shown()) for name in NAMES.findall(query)}
    assert asked <= known
    assert known <= {name for query in _shown() for name in NAMES.findall(query)}


def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool = _tool("promtool")
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run([promtool, *words], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = (MONITORING / "alerts.test.yaml").read_text()
    assert not [alert for alert in _rules() if alert not in tested]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes a system which has trained a policy."""
    binary, folder = _tool("prometheus"), tmp_path_factory.mktemp("monitoring")
    ports = {name: free_port() for name in ("REGISTRY", "ENV", "LEARNER")}
    environ = {**os.environ, "WANDB_MODE": "disabled", "LWMECPS_TRACKING": "none"}
    environ |= {f"LWMECPS_{name}_METRICS_PORT": str(port) for name, port in ports.items()}
    words = [word for name in (*ports, "GATEWAY") for word in (f"--{name.lower()}-port", "0")]
    command = [sys.executable, "-m", "services.cli.main", "up", "--json", "--state", str(folder / "state"), *words]
    config = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(MONITORING / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "lwmecps", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports.values()]}]}
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True, cwd=ROOT)
    scraping: subprocess.Popen[bytes] | None = None
    try:
        assert up.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = up.stdout.readline()
            assert line, "the system did not come up"
            text += line
        addresses = json.loads(text)
        where = [f"--{name.lower()}={addresses[name.lower()]}" for name in ports]
        scraping = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(3)  # a first scrape, so that counters can be seen to grow
        (folder / "city.yaml").write_text(CITY)
        train = ["train", "--task", str(folder / "city.yaml"), "--total-episodes", "40", "--episodes-per-batch", "2"]
        result = CliRunner().invoke(app, [*where, *train])
        assert result.exit_code == 0, result.output
        time.sleep(3)
        yield address
    finally:
        for process in (scraping, up):
            if process is not None:
                process.terminate()
                process.wait(60)


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_every_query_of_the_dashboard_shows_something_on_a_real_scrape(prometheus: str) -> None:
    empty = []
    for title, queries in _panels().items():
        for query in queries:
            if not _now(prometheus, query) and "lwmecps_learner_lag_entries" not in query:
                empty.append(f"{title}: {query}")
    assert not empty
    # While a run is worked on there is a lag; by now it has ended.
    _query(prometheus, "lwmecps_learner_lag_entries")


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_end_of_the_first_run_is_counted(prometheus: str) -> None:
    def counted() -> list[Any]:
        (query,) = _panels()["Ends of runs in an hour"]
        return [(series["metric"], series["value"][1]) for series in _query(prometheus, query)]

    deadline_s = time.monotonic() + 20  # on a busy machine a scrape comes late
    while not counted() and time.monotonic() < deadline_s:
        time.sleep(1)
    assert counted() == [({"kind": "train", "end": "completed"}, "1")]


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_what_lasts_as_long_as_its_run_is_no_latency_and_what_ends_at_once_no_stream(prometheus: str) -> None:
    (slow,), (streams,) = _panels()["Latency of calls but streams, 99 %"], _panels()["Open streams"]
    called, open_ones = (
        {series["metric"]["method"] for series in _now(prometheus, query)} for query in (slow, streams)
    )
    assert {"WatchRun", "WatchProgress"} <= open_ones and "GetRun" not in open_ones
    assert "ClaimRun" in called and not called & open_ones  # learners ask again and again


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_every_alert_can_be_asked_on_a_real_scrape_and_none_fires_while_all_is_well(prometheus: str) -> None:
    rules = _get(prometheus, "/api/v1/rules")["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} == set(_rules())
    assert not [rule["name"] for rule in rules if rule.get("lastError")]
    for alert, query in _rules().items():
        assert _query(prometheus, query) == [], alert


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_what_is_scraped_is_what_the_page_lists(prometheus: str) -> None:
    scraped = {name for name in _get(prometheus, "/api/v1/label/__name__/values") if name.startswith("lwmecps_")}
    listed = set(metrics())
    ends = re.compile(r"_(count|sum|created|bucket|total)$")
    assert {ends.sub("", name) for name in scraped} == {ends.sub("", name) for name in scraped & listed}
    assert listed - scraped <= {"lwmecps_learner_lag_entries"}


def _now(address: str, query: str) -> list[Any]:
    return _query(address, query.replace("$__rate_interval", "5m"))


def _query(address: str, expression: str) -> list[Any]:
    found: list[Any] = _get(address, f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")["result"]
    return found


def _get(address: str, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        pytest.fail(f"{path}: {error.read().decode()}")


def _tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    reason = f"no {name} on the PATH"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
