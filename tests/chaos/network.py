"""An Ethernet switch between network namespaces, with delay, loss and partitions; needs root, `ip` and /dev/net/tun.

In user space, because kernels without netem are common. What passes it is real: TCP retransmits, backs off and gives up
as on a bad line.
"""

import fcntl
import heapq
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

HERE = "here"
"""The host that is the namespace of this process; each other host has a namespace of its own."""
TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES = 65_536
FRAMES_AT_ONCE = 64
BROADCAST = b"\xff" * 6
Pair = frozenset[str]


def missing() -> str | None:
    """Why there can be no such network here; None: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not TUN.exists():
        return f"there is no {TUN}"
    if shutil.which("ip") is None:
        return "`ip` (Debian: iproute2) is not installed"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"no network namespace can be made: {probe.stderr.strip()}" if probe.returncode else None


def between(some: Iterable[str], others: Iterable[str]) -> frozenset[Pair]:
    """Every pair of one of `some` with another one of `others`."""
    rest = list(others)
    return frozenset(frozenset((one, other)) for one in some for other in rest if one != other)


@dataclass(frozen=True)
class Weather:
    """Every frame takes `delay_ms` ± `jitter_ms`, one in `1 / loss` of them for ever; frames don't overtake others."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0


class Network:
    """Hosts at 198.18.N.1, .2, … (RFC 2544), connected by one switch as long as the context lasts; N is ours alone.

    `delivered`, `lost` and `cut_off` count frames by pair of hosts, and `least_ms` is the shortest time that one took.
    """

    def __init__(self, hosts: Sequence[str], seed: int, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.delivered, self.lost, self.cut_off = Counter[Pair](), Counter[Pair](), Counter[Pair]()
        self.least_ms = float("inf")
        self._names, self._rng = [HERE, *hosts], random.Random(seed)
        self._claim, self._number = _claim_number()
        self._taps: dict[int, str] = {}
        self._macs: dict[bytes, int] = {}
        self._line: list[tuple[float, int, float, int, Pair, bytes]] = []
        self._last_due: dict[tuple[int, int], float] = {}
        self._order = count()
        self._cut: frozenset[Pair] = frozenset()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._switch, name="switch", daemon=True)

    @property
    def hosts(self) -> list[str]:
        """Names of all, this process's own included."""
        return list(self._names)

    def address(self, host: str) -> str:
        """The host's IPv4 address."""
        return f"198.18.{self._number}.{self._names.index(host) + 1}"

    def prefix(self, host: str) -> list[str]:
        """What a command begins with in order to run on the host; it keeps its process id."""
        return [] if host == HERE else ["ip", "netns", "exec", self._namespace(host)]

    def cut(self, pairs: Iterable[Pair]) -> None:
        """Let nothing pass between these pairs from now on, and everything between all others."""
        self._cut = frozenset(pairs)

    def __enter__(self) -> "Network":
        try:
            self._remove_namespaces()  # of a process that was killed and had the same number
            for host in self._names:
                self._plug_in(host)
            self._thread.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._close()

    def _close(self) -> None:
        for tap in self._taps:
            os.close(tap)  # a TAP goes with its last descriptor, in whichever namespace it is
        self._taps.clear()
        self._remove_namespaces()
        self._claim.close()

    def _namespace(self, host: str) -> str:
        return f"lwmecps-{self._number}-{host}"

    def _remove_namespaces(self) -> None:
        there = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout.split()
        for name in (self._namespace(host) for host in self._names if host != HERE):
            if name in there:
                _ip("netns", "del", name)

    def _plug_in(self, host: str) -> None:
        name = f"lwm{self._number}.{self._names.index(host)}"
        tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        self._taps[tap] = host
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        inside: list[str] = []
        if host != HERE:
            inside = ["-n", self._namespace(host)]
            _ip("netns", "add", self._namespace(host))
            _ip("link", "set", name, "netns", self._namespace(host))
            _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "link", "set", name, "addrgenmode", "none")  # no IPv6: its own traffic would be counted
        _ip(*inside, "addr", "add", f"{self.address(host)}/24", "dev", name)
        _ip(*inside, "link", "set", name, "up")

    def _switch(self) -> None:
        poll = select.epoll()
        with poll:
            for tap in self._taps:
                poll.register(tap, select.EPOLLIN)
            while not self._ended.is_set():
                wait_s = min(0.1, max(0.0, self._line[0][0] - time.monotonic())) if self._line else 0.1
                for tap, _ in poll.poll(wait_s):
                    with suppress(OSError):  # nothing more to read
                        for _ in range(FRAMES_AT_ONCE):
                            self._take(tap, os.read(tap, FRAME_BYTES))
                self._deliver()

    def _take(self, source: int, frame: bytes) -> None:
        now = time.monotonic()
        self._macs[frame[6:12]] = source
        target = None if frame[:6] == BROADCAST else self._macs.get(frame[:6])
        for tap in self._taps if target is None else [target]:
            if tap == source:
                continue
            pair = frozenset((self._taps[source], self._taps[tap]))
            if pair in self._cut:
                self.cut_off[pair] += 1
            elif self._rng.random() < self.weather.loss:
                self.lost[pair] += 1
            else:
                jitter_ms = self._rng.uniform(-1, 1) * self.weather.jitter_ms
                due = now + max(0.0, self.weather.delay_ms + jitter_ms) / 1000
                due = self._last_due[source, tap] = max(due, self._last_due.get((source, tap), 0.0))
                heapq.heappush(self._line, (due, next(self._order), now, tap, pair, frame))

    def _deliver(self) -> None:
        while self._line and self._line[0][0] <= time.monotonic():
            _, _, came, tap, pair, frame = heapq.heappop(self._line)
            if pair in self._cut:  # it was on its way
                self.cut_off[pair] += 1
                continue
            with suppress(OSError):  # a full or closed device loses it, as a line may
                os.write(tap, frame)
                self.delivered[pair] += 1
                self.least_ms = min(self.least_ms, (time.monotonic() - came) * 1000)


def _claim_number() -> tuple[socket.socket, int]:
    """A number that no other process of this machine has; it is given back when the socket closes."""
    claim = socket.socket(socket.AF_UNIX)
    for number in range(256):
        with suppress(OSError):
            claim.bind(f"\0lwmecps-network-{number}")
            return claim, number
    claim.close()
    raise AssertionError("256 networks are in use")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)
