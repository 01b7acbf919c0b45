"""The work stream over Redis Streams (6.2 or newer).

A stream `name` is three keys, in one cluster slot: `entries` (the stream, with the group `work`), `bytes` (what its
entries weigh) and `dead` (dead letters: payload `p`, `error` and `deliveries`, for people to read). Whatever changes
two of them is a Lua script, so that they always agree.

A stream that one reader owns at a time has a fourth, `fence`: the highest fencing token that opened it. That reader's
group is named by its token and made when it opens the stream, which removes the group of the one before: whatever a
reader does under an older token finds no group, and changes nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.connection import parse_url

from lwmecps_core.errors import Conflict, InvalidInput, NotFound, QueueUnavailable, Violation
from lwmecps_core.rollout.queue import Entry, QueueLimits, QueueStats, publish_with_backoff, unanswered

GROUP = "work"
OLDEST = (6, 2)
"""The oldest version of Redis that has what we use."""
LONGEST_TEXT = 120
"""How much is told of an answer that no Redis would give."""
_PASSING = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "DB index is out of range")
_OURS: dict[str, Any] = {
    "protocol": 2,
    "legacy_responses": True,
    "decode_responses": False,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "retry_on_timeout": False,
}
"""Options that what is read and written here depends on: a URL may repeat them, not alter them."""
_REACHING = {
    *("connection_class", "host", "port", "path", "db", "username", "password", "client_name", "lib_name"),
    *("lib_version", "max_connections", "health_check_interval"),
    *("socket_connect_timeout", "socket_timeout", "socket_keepalive", "socket_read_size"),
}
"""Options, beside those of TLS, that say how to reach a Redis."""
_FAR_IDLE_MS = 2**40  # an idle time that counts as stale under any limit

_OFFER = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local stored = tonumber(redis.call('GET', KEYS[2]) or '0')
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) or stored + #ARGV[4] > tonumber(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'p', ARGV[4])
redis.call('INCRBY', KEYS[2], #ARGV[4])
if ARGV[3] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
"""
_ACK = """
local removed = 0
for i = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('DECRBY', KEYS[2], ARGV[i + 1])
    removed = removed + 1
  end
end
return removed
"""
_BURY = """
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if #found == 0 then return 0 end
local payload = found[1][2][2]
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('DECRBY', KEYS[2], #payload)
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[5], '*', 'p', payload, 'error', ARGV[3], 'deliveries', ARGV[4])
if ARGV[6] ~= '0' then redis.call('PEXPIRE', KEYS[3], ARGV[6]) end
return 1
"""
_STATS = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])[1]
return {redis.call('XLEN', KEYS[1]), redis.call('GET', KEYS[2]) or 0, pending, redis.call('XLEN', KEYS[3])}
"""
_OWN = """
local newest, mine = tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[1])
if newest > mine then return newest end
if newest < mine then redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[2] .. '-' .. newest) end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2] .. '-' .. mine, '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
redis.call('SET', KEYS[2], mine)
if ARGV[3] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return mine
"""
_NO_GROUP_NO_CHANGE = "redis.call('XPENDING', KEYS[1], ARGV[1])\n"
_SET_IDLE = """
for i = 4, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 1 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
  end
end
"""


def check_url(url: str) -> str:
    """The URL, if it says how to reach a Redis and nothing more; raises `ValueError` naming each option that does not.

    An option of a URL wins over ours: one that alters replies (`protocol`, `decode_responses`, `legacy_responses`) or
    repeats commands (`retry_on_timeout`) would break runs, not connections.
    """
    options = parse_url(url)  # type: ignore[no-untyped-call]
    wrong = [
        f"{name}={value} {'alters replies or repeats commands' if name in _OURS else 'is not known'}: leave it out"
        for name, value in options.items()
        if name not in _REACHING and not name.startswith("ssl_")
        if name not in _OURS or str(value).lower() != str(_OURS[name]).lower()
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
    options.pop("max_connections", None)  # of the pool
    try:
        options.pop("connection_class", redis.Connection)(**options)  # it is not opened
    except (TypeError, redis.RedisError) as error:  # options of TLS without rediss://, or unknown ones
        raise ValueError(f"options of the URL: {error}") from None
    return url


def connect(url: str, *, connect_timeout_s: float = 2.0, timeout_s: float = 30.0) -> "redis.Redis":
    """A client for `redis://host:port/db` (or rediss://, unix://); it connects with the first command.

    It repeats nothing by itself: a repeated read would hide that entries of the first were lost with the connection.
    Raises `InvalidInput` for a URL that `check_url` refuses.
    """
    try:
        pool = redis.ConnectionPool.from_url(
            check_url(url),
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            health_check_interval=30,
            retry=None,
        )
    except ValueError as error:
        raise InvalidInput("settings", [Violation("redis_url", str(error))]) from None
    pool.connection_kwargs |= _OURS  # after the URL's: there, `decode_responses=False` is a text, and so true
    return redis.Redis.from_pool(pool)


def check_reachable(client: "redis.Redis") -> None:
    """Raise `QueueUnavailable` when the broker can't be reached, or takes nothing more."""
    with _first_words("a check"):
        client.set("lwmecps:check", 1, px=60_000)


def check_version(client: "redis.Redis") -> str:
    """The broker's version; raises `QueueUnavailable` when it can't be reached or is older than we can use."""
    with _first_words("its version"):
        about: Any = client.info("server")
        version = str(about["redis_version"])
        parts = tuple(int(part) for part in version.split(".")[:2])
    if parts < OLDEST:
        raise QueueUnavailable(f"it is Redis {version}: {'.'.join(map(str, OLDEST))} or later is needed")
    return version


@contextmanager
def _first_words(what: str) -> Iterator[None]:
    """As `broker_errors`, where what answers may be anything: whatever it says wrong is `QueueUnavailable`."""
    try:
        with broker_errors(what):
            yield
    except redis.RedisError as error:
        raise QueueUnavailable(f"Redis refuses {what}: {_line(error)}") from error
    except (ValueError, LookupError, AttributeError, TypeError) as error:  # an answer that can't be taken apart
        raise QueueUnavailable(f"what is there does not answer as a Redis: {_line(error)}") from error


@contextmanager
def broker_errors(what: str) -> Iterator[None]:
    """Turn a broker that is away, loading, full or without the stream `what` into the library's errors."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError) as error:
        raise QueueUnavailable(f"Redis can't be reached for {what}: {error}") from error
    except redis.exceptions.InvalidResponse as error:
        raise QueueUnavailable(f"what is there does not answer as a Redis: {_line(error)}") from error
    except redis.exceptions.NoPermissionError as error:
        raise QueueUnavailable(f"Redis refuses {what}: {_line(error)}") from error
    except redis.ResponseError as error:
        if _out_of_memory(error):
            raise QueueUnavailable(f"Redis is at its memory limit and refuses {what}") from error
        if any(sign in str(error) for sign in ("NOGROUP", "UNBLOCKED", "no such key")):
            raise NotFound("queue", what) from None
        if any(sign in str(error) for sign in _PASSING):  # Redis 6.2 wraps what went wrong within a script
            raise QueueUnavailable(f"Redis can't serve {what} now: {error}") from error
        raise


class RedisQueue:
    """`WorkQueue` over one Redis stream; clients are safe to share between threads.

    With a fencing `token` (≥ 1) the reader owns the stream: `open` raises `Conflict` when a higher token has opened it,
    and reads and acknowledgements raise `NotFound` from then on. What the owner before had not acknowledged is unread
    again. Publishing needs no token.
    """

    def __init__(self, client: "redis.Redis", name: str, limits: QueueLimits | None = None, token: int = 0) -> None:
        self.name = name
        self.limits = limits or QueueLimits()
        self._redis: Any = client
        self._entries, self._bytes, self._dead, self._fence = (
            f"lwmecps:queue:{{{name}}}:{k}" for k in ("entries", "bytes", "dead", "fence")
        )
        self._token, self._group = token, f"{GROUP}-{token}" if token else GROUP
        self._ttl_ms = int(self.limits.ttl_s * 1000)
        self._offer_script = client.register_script(_OFFER)
        fenced = _NO_GROUP_NO_CHANGE if token else ""
        self._own_script = client.register_script(_OWN)
        self._ack_script = client.register_script(fenced + _ACK)
        self._bury_script = client.register_script(fenced + _BURY)
        self._stats_script = client.register_script(_STATS)
        self._set_idle_script = client.register_script(_SET_IDLE)

    def open(self) -> None:
        """Create the stream and its group unless they exist; raises `Conflict` for a fencing token that is stale."""
        with broker_errors(self.name):
            if self._token:
                args: list[int | str] = [self._token, GROUP, self._ttl_ms]
                newest = int(self._own_script(keys=[self._entries, self._fence], args=args))
                if newest > self._token:
                    raise Conflict(f"queue {self.name}: fencing token {self._token} is stale, the newest is {newest}")
                return
            try:
                self._redis.xgroup_create(self._entries, self._group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            if self._ttl_ms:
                self._redis.pexpire(self._entries, self._ttl_ms)

    def exists(self) -> bool:
        """Whether the stream exists."""
        with broker_errors(self.name):
            return bool(self._redis.exists(self._entries))

    def publish(self, payloads: Sequence[bytes], deadline_s: float = 10.0) -> None:
        """Append messages, pipelined, waiting for room."""
        publish_with_backoff(self.name, self.limits, payloads, deadline_s, self._offer)

    def _offer(self, payloads: Sequence[bytes]) -> list[bytes]:
        bounds = [self.limits.max_entries, self.limits.max_bytes, self._ttl_ms]
        with broker_errors(self.name), self._redis.pipeline(transaction=False) as pipe:
            for payload in payloads:
                self._offer_script(keys=[self._entries, self._bytes], args=[*bounds, payload], client=pipe)
            replies = pipe.execute(raise_on_error=False)
            for reply in replies:
                # A server at its own memory limit refuses the script: to the producer that is a full queue.
                if isinstance(reply, Exception) and not _out_of_memory(reply):
                    raise reply
                if reply == -1:
                    raise NotFound("queue", self.name)
        return [payload for payload, reply in zip(payloads, replies, strict=True) if reply != 1]

    def read(self, consumer: str, count: int = 1, block_ms: int = 0) -> list[Entry]:
        """Up to `count` unread entries."""
        with broker_errors(self.name):
            found = self._redis.xreadgroup(
                self._group, consumer, {self._entries: ">"}, count=count, block=block_ms if block_ms else None
            )
        return [_entry(id_, fields[b"p"], 1) for _, entries in found or () for id_, fields in entries]

    def claim_stale(self, consumer: str, min_idle_ms: int, count: int = 1) -> list[Entry]:
        """Take over entries whose consumer has gone quiet.

        XPENDING and XCLAIM in place of XAUTOCLAIM: that one tells neither the number of deliveries nor, in 6.2, the id
        of an entry that was deleted under its consumer.
        """
        with broker_errors(self.name):
            stale = self._redis.xpending_range(self._entries, self._group, "-", "+", count, idle=min_idle_ms)
            if not stale:
                return []
            seen = {item["message_id"]: item["times_delivered"] for item in stale}
            got = dict(self._redis.xclaim(self._entries, self._group, consumer, min_idle_ms, list(seen)))
            for id_ in seen.keys() - got.keys():
                if not self._redis.xrange(self._entries, id_, id_):
                    self._redis.xack(self._entries, self._group, id_)
        claimed = []
        for id_, deliveries in seen.items():
            if got.get(id_) is None:
                continue
            if deliveries >= self.limits.max_deliveries:
                self._bury(id_, deliveries, unanswered(deliveries))
            else:
                claimed.append(_entry(id_, got[id_][b"p"], deliveries + 1))
        return claimed

    def touch(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Restart the idle time of `entries`."""
        self._set_idle(consumer, entries, 0)

    def _set_idle(self, consumer: str, entries: Sequence[Entry], idle_ms: int) -> None:
        if entries:
            with broker_errors(self.name):
                ids = [entry.id for entry in entries]
                self._set_idle_script(keys=[self._entries], args=[self._group, consumer, idle_ms, *ids])

    def ack(self, entries: Sequence[Entry]) -> int:
        """Acknowledge and delete (at most 1,000 in one script, so that the server stays responsive)."""
        removed = 0
        with broker_errors(self.name):
            for start in range(0, len(entries), 1000):
                pairs = [x for e in entries[start : start + 1000] for x in (e.id, e.size)]
                removed += int(self._ack_script(keys=[self._entries, self._bytes], args=[self._group, *pairs]))
        return removed

    def fail(self, consumer: str, entry: Entry, error: str, *, fatal: bool = False) -> bool:
        """Give an entry back, or up."""
        if fatal or entry.deliveries >= self.limits.max_deliveries:
            self._bury(entry.id, entry.deliveries, error)
            return True
        self._set_idle(consumer, [entry], _FAR_IDLE_MS)
        return False

    def _bury(self, id_: bytes | str, deliveries: int, error: str) -> None:
        with broker_errors(self.name):
            self._bury_script(
                keys=[self._entries, self._bytes, self._dead],
                args=[self._group, id_, error, deliveries, self.limits.max_dead, self._ttl_ms],
            )

    def stats(self) -> QueueStats:
        """What the stream holds now."""
        with broker_errors(self.name):
            found = self._stats_script(keys=[self._entries, self._bytes, self._dead], args=[self._group])
        return QueueStats(*(int(x) for x in found))

    def delete(self) -> None:
        """Remove the stream and all it holds; a fence stays for its time to live."""
        with broker_errors(self.name):
            self._redis.delete(self._entries, self._bytes, self._dead)


def _line(error: Exception) -> str:
    """The start of what an error says, in one line."""
    return " ".join(str(error).split())[:LONGEST_TEXT]


def _out_of_memory(error: Exception) -> bool:
    return "OOM command not allowed" in str(error) or isinstance(error, redis.exceptions.OutOfMemoryError)


def _entry(id_: bytes, payload: bytes, deliveries: int) -> Entry:
    return Entry(id_.decode(), payload, len(payload), deliveries)
