"""The bounded table of interactive sessions."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from lwmecps_core.errors import NotFound, QueueFull

ID_BYTES = 16


class Closable(Protocol):
    """What a session holds: something to release when the session ends."""

    def close(self) -> None:
        """Release what the session holds; called exactly once."""


H = TypeVar("H", bound=Closable)


@dataclass
class _Session(Generic[H]):
    content: H
    numbers: int
    last_used_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False


class SessionTable(Generic[H]):
    """At most `limit` sessions, which keep at most `most_numbers` together; one that nobody used for `idle_s` seconds
    is closed by the next `reap`.

    A session's id is also the key to it, so ids can't be guessed. Every use locks the session: calls on one session
    are served one after the other, calls on different sessions don't wait for each other.
    """

    def __init__(
        self, limit: int, most_numbers: int, idle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._most_numbers, self._idle_s, self._clock = limit, most_numbers, idle_s, clock
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session[H]] = {}
        self._being_made: list[int] = []

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, make: Callable[[], H], numbers: int = 0) -> str:
        """Make a session that keeps so many numbers, and return its id; raises `QueueFull` when there is no room."""
        self.reap()
        with self._lock:
            kept = [session.numbers for session in self._sessions.values()] + self._being_made
            if len(kept) >= self._limit:
                raise QueueFull(f"all {self._limit} sessions are in use; close one or try again later")
            if sum(kept) + numbers > self._most_numbers:
                raise QueueFull(
                    f"the sessions keep {sum(kept)} numbers already, of {self._most_numbers} that they may, and this "
                    f"one needs {numbers}; close one, or try again later"
                )
            self._being_made.append(numbers)
        try:
            session = _Session(make(), numbers, self._clock())
            session_id = secrets.token_urlsafe(ID_BYTES)
            with self._lock:
                self._sessions[session_id] = session
            return session_id
        finally:
            with self._lock:
                self._being_made.remove(numbers)

    @contextmanager
    def use(self, session_id: str) -> Iterator[H]:
        """The session's content, locked until the context ends; raises `NotFound`."""
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("session", session_id)
        with session.lock:
            if session.closed:
                raise NotFound("session", session_id)
            try:
                yield session.content
            finally:
                session.last_used_s = self._clock()

    def close(self, session_id: str) -> None:
        """End a session, after the call that is using it; raises `NotFound`."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
        if session is None:
            raise NotFound("session", session_id)
        with session.lock:
            session.closed = True
            session.content.close()

    def reap(self) -> int:
        """End the sessions that have been idle for too long; returns how many. A session in use is never idle."""
        oldest_s = self._clock() - self._idle_s
        reaped = 0
        for session_id, session in list(self._sessions.items()):
            if session.last_used_s < oldest_s and session.lock.acquire(blocking=False):
                try:
                    if session.last_used_s < oldest_s and not session.closed:
                        with self._lock:
                            self._sessions.pop(session_id, None)
                        session.closed = True
                        session.content.close()
                        reaped += 1
                finally:
                    session.lock.release()
        return reaped

    def close_all(self) -> None:
        """End every session."""
        for session_id in list(self._sessions):
            try:
                self.close(session_id)
            except NotFound:
                continue
