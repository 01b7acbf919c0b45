"""Workers that import what they act with once there is something to do."""

import os
import threading
from pathlib import Path

import pytest

from lwmecps_core.errors import QueueUnavailable
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REQUEST_LIMITS, REQUEST_STREAM, announce, wanted
from services.common.local_redis import LocalRedis
from services.env_service import warming
from services.env_service.worker import LateWorker


class _Work:
    def __init__(self) -> None:
        self.ran = self.beats = 0

    def run(self) -> None:
        self.ran += 1

    def heartbeat(self) -> None:
        self.beats += 1


def test_a_worker_is_made_when_it_is_wanted_and_a_redis_that_is_away_is_waited_for() -> None:
    work, answers = _Work(), iter([False, QueueUnavailable("away"), False, True])
    asked: list[object] = []

    def is_wanted() -> bool:
        asked.append(answer := next(answers))
        if isinstance(answer, Exception):
            raise answer
        return answer is True

    late = LateWorker(lambda: work, is_wanted, threading.Event(), poll_s=0.001)
    late.heartbeat()
    assert work.beats == 0
    late.run()
    late.heartbeat()
    assert (work.ran, work.beats, len(asked), late.done) == (1, 1, 4, True)


def test_a_worker_that_is_stopped_while_it_waits_is_never_made() -> None:
    stop = threading.Event()
    stop.set()
    late = LateWorker(lambda: pytest.fail("made"), lambda: True, stop, poll_s=0.001)
    late.run()
    assert late.done


def test_a_worker_that_can_not_be_made_has_not_ended_well() -> None:
    def make() -> _Work:
        raise ImportError("torch")

    late = LateWorker(make, lambda: True, threading.Event(), poll_s=0.001)
    with pytest.raises(ImportError):
        late.run()
    assert not late.done


def test_requests_that_wait_and_announcements_want_workers() -> None:
    with LocalRedis() as server, connect(server.url) as client:
        assert not wanted(client)
        requests = RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS)
        requests.open()
        assert not wanted(client)
        requests.publish([b"x"])
        assert wanted(client)
        (entry,) = requests.read("me")
        requests.ack([entry])
        assert not wanted(client)
        announce(client)
        assert wanted(client)


def test_what_went_well_is_tried_again_where_what_was_compiled_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[list[str]] = []
    compiled = tmp_path / "loop.nbi"

    class _Done:
        returncode = 0

    def run(command: list[str], **_: object) -> _Done:
        tries.append(command)
        compiled.touch()
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(f'["{compiled}"]')
        return _Done()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(warming.subprocess, "run", run)
    stamp = warming.stamp()
    told: list[str] = []
    assert [warming.make_sure(told.append) for _ in range(2)] == [True, True]
    assert len(tries) == 1 and told == ["compiling what the simulator needs"]
    compiled.unlink()
    assert warming.make_sure(told.append)
    assert len(tries) == len(told) == 2
    _Done.returncode = 1
    compiled.unlink()
    assert not warming.make_sure(told.append)


def test_installations_side_by_side_keep_their_notes(tmp_path: Path) -> None:
    files = [tmp_path / f"warm-{i}.json" for i in range(warming.MOST_NOTES + 1)]
    for i, file in enumerate(files[:-1]):
        warming.note(file, [])
        os.utime(file, ns=(i, i))
    assert all(file.exists() for file in files[:-1])
    warming.note(files[-1], ["kept"])
    assert [file.exists() for file in files] == [False] + [True] * warming.MOST_NOTES
    assert files[-1].read_text() == '["kept"]'
