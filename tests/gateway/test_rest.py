"""The calls of the services by HTTP and JSON."""

import base64
import json
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from services.common import convert
from services.common.settings import ClientSettings, ServerSettings
from services.common.tokens import new_entry
from services.gateway import json_forms
from services.gateway.serving import RunningGateway
from services.gateway.settings import GatewaySettings
from tests.gateway.system import InProcess, running
from tests.learner_service.fakes import wait_until

CITY = TaskDistribution(nodes=2, deployments=2, horizon=6)
TRAIN = {"settings": {"totalEpisodes": 8, "episodesPerBatch": 4}, "label": "short"}


def _task() -> dict:
    return json_forms.show(convert.task_to_message(draw(CITY, 0)), lists=True)


def _create(http: httpx.Client) -> str:
    answer = http.post("/v1/tasks", json={"distribution": {"nodes": 2, "deployments": 2, "horizon": 6}, "name": "city"})
    assert answer.status_code == 200, answer.text
    return answer.json()["task"]["id"]


def test_a_task_is_registered_found_listed_and_deleted(http: httpx.Client) -> None:
    task = _create(http)
    shown = http.get(f"/v1/tasks/{task}").json()["task"]
    assert (shown["name"], shown["distribution"]["maxReplicas"], shown["summary"]["nodes"]) == ("city", 8, 2)
    page = http.get("/v1/tasks", params={"page_size": 1, "family": "mec_city"}).json()
    assert [one["id"] for one in page["tasks"]] == [task]
    assert http.delete(f"/v1/tasks/{task}").json() == {}
    assert http.get(f"/v1/tasks/{task}").status_code == 404


def test_a_seed_that_is_too_large_is_told_the_largest(http: httpx.Client) -> None:
    where, largest = f"/page/tasks/{_create(http)}/draw", 10**18 - 1
    for wrong in ("9" * 20, str(largest + 1), "-1", "1.5"):
        answer = http.get(where, params={"seed": wrong})
        assert answer.status_code == 400
        assert f"must be a whole number from 0 to {largest}, not '{wrong}'" in answer.text
    assert http.get(where, params={"seed": str(largest)}).status_code == 200


def test_a_task_with_nested_lists_is_the_one_with_bytes(http: httpx.Client) -> None:
    ids = [http.post("/v1/tasks", json={"spec": json_forms.show(convert.task_to_message(draw(CITY, 0)))}).json()]
    ids.append(http.post("/v1/tasks", json={"spec": _plain_lists(_task())}).json())
    specs = [http.get(f"/v1/tasks/{one['task']['id']}").json()["task"]["spec"] for one in ids]
    assert specs[0] == specs[1]
    assert specs[0]["cluster"]["rttMs"]["dtype"] == "DTYPE_FLOAT64"


def _plain_lists(value):
    if isinstance(value, dict):
        return value["values"] if "values" in value else {key: _plain_lists(one) for key, one in value.items()}
    return [_plain_lists(one) for one in value] if isinstance(value, list) else value


@pytest.mark.timeout(600)
def test_a_run_is_started_followed_by_events_and_its_policy_acts(http: httpx.Client) -> None:
    started = http.post("/v1/train", json=TRAIN | {"taskIds": [_create(http)]}).json()["run"]
    assert started["state"] == "RUN_STATE_PENDING"
    with http.stream("GET", f"/v1/runs/{started['id']}/watch") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line and not line.startswith(":")]
    events = [
        (a.removeprefix("event: "), json.loads(b.removeprefix("data: ")))
        for a, b in zip(lines[::2], lines[1::2], strict=True)
    ]
    assert [name for name, _ in events][-1] == "end"
    run = [value for name, value in events if name == "message"][-1]["run"]
    assert (run["state"], run["step"], run["totalSteps"]) == ("RUN_STATE_COMPLETED", "2", "2")

    policy = run["resultPolicyId"]
    weights = http.get(f"/v1/policies/{policy}/weights", headers={"Accept": "application/octet-stream"})
    assert len(weights.content) == int(http.get(f"/v1/policies/{policy}").json()["policy"]["sizeBytes"])
    as_events = http.get(f"/v1/policies/{policy}/weights").text
    assert base64.b64encode(weights.content[:30]).decode() in as_events

    session = http.post("/v1/sessions", json={"task": _task()}).json()
    where = f"/v1/sessions/{session['sessionId']}"
    seen = http.post(f"{where}/reset", params={"tensors": "lists"}, json={"seed": 3}).json()["transition"]
    observation, mask = seen["observation"]["values"], seen["mask"]["values"]
    acted = http.post(
        f"/v1/policies/{policy}/act?tensors=lists", json={"observation": observation, "mask": mask}
    ).json()
    step = http.post(f"{where}/step?tensors=lists", json={"action": acted["action"]["values"], "withInfo": True}).json()
    assert len(step["transition"]["info"]["values"]) == len(session["infoKeys"])
    state = http.get(f"{where}/cluster", params={"tensors": "lists"}).json()["state"]
    assert np.shape(state["readyReplicas"]["values"]) == (2, 2)
    commands = "\n".join(
        json.dumps(one) for one in ({"session_id": session["sessionId"], "reset": {}}, {"action": [[1, 1]]})
    )
    streamed = http.post("/v1/step-stream", content=commands)
    assert streamed.text.count("event: message") == 2 and streamed.text.rstrip().endswith("event: end\ndata: {}")
    assert http.delete(where).json() == {}


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"distribution": {"nodes": 0}}, "distribution.nodes", "greater than or equal to 1"),
        ({"distribution": {"nods": 2}}, "distribution.nods", "did you mean nodes?"),
        ({"distribution": {"maxReplicas": 1, "max_replicas": 2}}, "distribution.max_replicas", "stands twice"),
        ({"distribution": []}, "distribution", "must be an object, not a list"),
        ({"distribution": {"family": "FAMILY_X"}}, "distribution.family", "is none of FAMILY_UNSPECIFIED"),
        ({"distribution": {"nodes": "x"}}, "distribution.nodes", "must be a whole number, not 'x'"),
        ({"distribution": {"nodes": 1.5}}, "distribution.nodes", "no whole number"),
        ({"distribution": {"recordedUsers": [[1], [1, 2]]}}, "distribution.recordedUsers", "equal"),
        ({"distribution": {"recordedUsers": ["x"]}}, "distribution.recordedUsers", "must hold numbers"),
        ({"distribution": {"recordedUsers": {"dtype": 2, "data": "&&&"}}}, "distribution.recordedUsers.data", "base64"),
        ({"distribution": {"nodes": -1}}, "distribution.nodes", "out of range"),
        ({"distribution": {"recordedStepS": "x"}}, "distribution.recordedStepS", "must be a number"),
        ({"name": 3}, "name", "must be a string, not a number"),
        ({"labels": {"a": 1}}, "labels[a]", "must be a string"),
        ({"labels": []}, "labels", "must be an object"),
        ([], ".", "must be an object, not a list"),
        (b"{", ".", "no JSON"),
        (b'{"name": NaN}', ".", "NaN is no JSON"),
        (b'{"name": "a", "name": "b"}', ".", "stands twice"),
        (b'{"name": "\\ud800"}', ".", ""),
        (b"[" * 100_000, ".", "no JSON"),
        ({}, ".", "exactly one field is required"),
    ],
)
def test_a_bad_body_is_refused_by_its_field(http: httpx.Client, body: object, field: str, reason: str) -> None:
    answer = http.post("/v1/tasks", content=body if isinstance(body, bytes) else json.dumps(body))
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    violations = [v for d in error["details"] for v in d.get("fieldViolations", [])]
    assert any(reason in v["description"] for v in violations), violations
    assert field in [v["field"] for v in violations] or field == "."


@pytest.mark.parametrize(
    ("verb", "path", "code", "word"),
    [
        ("GET", "/v1/runs/run-x", 404, "NOT_FOUND"),
        ("GET", "/v1/runs?page_sise=3", 400, "did you mean page_size?"),
        ("GET", "/v1/runs?page_size=3&page_size=4", 400, "stands more than once"),
        ("GET", "/v1/runs?page_size=5000", 400, "page_size"),
        ("GET", "/v1/runs?tensors=x", 400, "base64, lists"),
        ("POST", "/v1/runs/x/pause?etag=1", 400, "can't stand in the query"),
        ("GET", "/v1/nothing", 404, "/docs lists them"),
        ("PATCH", "/v1/runs", 405, "no such endpoint"),
        ("GET", "/v1/runs/run-x/watch", 404, "NOT_FOUND"),
        ("GET", "/v1/runs/run-x/log", 404, "NOT_FOUND"),
        ("GET", "/v1/policies/p/weights", 404, "NOT_FOUND"),
    ],
)
def test_what_can_not_be_is_said_with_its_code(http: httpx.Client, verb: str, path: str, code: int, word: str) -> None:
    answer = http.request(verb, path)
    assert answer.status_code == code
    assert word in answer.text


def test_a_field_of_the_path_may_not_be_contradicted(http: httpx.Client) -> None:
    assert http.post("/v1/runs/a/pause", json={"runId": "b"}).status_code == 400


def test_a_service_that_is_away_is_503() -> None:
    settings = GatewaySettings(port=0, registry="127.0.0.1:1", env="127.0.0.1:1", learner="127.0.0.1:1")
    gateway = RunningGateway(settings, ClientSettings())
    answer = httpx.get(f"{gateway.url}/v1/runs", timeout=60)
    health = httpx.get(f"{gateway.url}/health", timeout=60).json()
    gateway.close()
    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")
    assert health["gateway"] == "SERVING" and health["registry"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_the_callers_token_decides(tmp_path) -> None:
    tokens = {scope: new_entry(scope, scope) for scope in ("read", "admin")}
    file = tmp_path / "tokens"
    file.write_text("\n".join(line for _, line in tokens.values()))
    with running(tmp_path, ServerSettings(tokens_file=str(file)), token=tokens["admin"][0]) as system:

        def status(token: str, verb: str, path: str) -> int:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return httpx.request(verb, system.url + path, headers=headers, json=None).status_code

        read, admin = tokens["read"][0], tokens["admin"][0]
        assert status("", "GET", "/v1/runs") == 401
        assert status("wrong", "GET", "/v1/runs") == 401
        assert status(read, "GET", "/v1/runs") == 200
        assert status(read, "POST", "/v1/runs/r/pause") == 403
        assert status(admin, "POST", "/v1/runs/r/pause") == 404
        assert status(read, "POST", "/api/training/tasks/r/start") == 404
        assert httpx.get(f"{system.url}/health").json()["registry"] == "SERVING"


def test_pages_of_other_sites_and_foreign_names_are_refused(http: httpx.Client) -> None:
    assert http.get("/v1/runs", headers={"Origin": "http://evil.example"}).status_code == 403
    assert http.get("/v1/runs", headers={"Host": "evil.example"}).status_code == 421
    assert http.get("/v1/runs", headers={"Origin": str(http.base_url).rstrip("/")}).status_code == 200


def test_a_token_that_no_call_can_carry_is_a_bad_request(http: httpx.Client) -> None:
    answer = http.get("/v1/runs", headers={"Authorization": b"Bearer \xff"})
    assert answer.status_code == 400 and "authorization" in answer.text


def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(tmp_path) -> None:
    with running(tmp_path, max_body_mib=1) as system:
        large = b" " * 2**21
        assert httpx.post(f"{system.url}/v1/tasks", content=large).status_code == 413
        pieces = iter([large[: 2**20], large[2**20 :]])
        assert httpx.post(f"{system.url}/v1/tasks", content=pieces).status_code == 413


def test_a_stream_whose_client_leaves_is_ended_upstream(system: InProcess, http: httpx.Client) -> None:
    from services.common.calls import STREAMS

    gauge = STREAMS.labels("/lwmecps.registry.v1.TaskRegistryService/WatchRun")
    run = http.post("/v1/train", json=TRAIN | {"taskIds": [_create(http)], "paused": True}).json()["run"]["id"]
    before = gauge._value.get()
    with http.stream("GET", f"/v1/runs/{run}/watch") as stream:
        lines = stream.iter_lines()  # held: a generator that is dropped closes the connection
        next(lines)
        wait_until(lambda: gauge._value.get() == before + 1)
    wait_until(lambda: gauge._value.get() == before)


def test_open_streams_end_with_the_gateway(tmp_path) -> None:
    with running(tmp_path, slots=1, grace_s=5) as system:
        task = httpx.post(f"{system.url}/v1/tasks", json={"distribution": {}}).json()["task"]["id"]
        run = httpx.post(f"{system.url}/v1/train", json={"taskIds": [task], "paused": True}).json()["run"]["id"]
        told: list[str] = []

        def watch() -> None:
            with httpx.stream("GET", f"{system.url}/v1/runs/{run}/watch", timeout=30) as stream:
                told.extend(stream.iter_lines())

        thread = threading.Thread(target=watch)
        thread.start()
        wait_until(lambda: len(told) > 0, 10)
        system.gateway.close()
        thread.join(20)
    assert any("shutting down" in line for line in told)


def test_bytes_that_are_no_http_leave_the_gateway_usable(system: InProcess, http: httpx.Client) -> None:
    for junk in (b"\0" * 100, b"GET", b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", system.gateway.port), timeout=5) as connection:
            connection.sendall(junk)
            time.sleep(0.05)
    assert http.get("/v1/runs").status_code == 200
