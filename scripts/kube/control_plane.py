"""A control plane that is started, tormented and stopped by a test or from the command line."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes import client, config

from .binaries import SERVERS, Binaries, find_binaries
from .certificates import Certificates
from .commands import server_commands, write_kubeconfig
from .nodes import DEAD, FakeNode, named_nodes, node_object
from .processes import Process

ROOT = Path(__file__).resolve().parents[2]
CONFLICT = 409
FAKE_NODES = "fake-nodes"
# etcd waits for the disc at every write; beside a busy neighbour that takes seconds, and heartbeats come too late.
MEMORY = Path("/dev/shm")
START_DEADLINE_S = 120.0
GUARD_DEADLINE_S = 60.0
_LISTENING = ("etcd", "etcd-peer", *SERVERS[1:])


class ControlPlane:
    """The servers whose certificates, data, logs, pids and kubeconfig lie in a state folder of their own.

    `flags` adds command-line flags to a server by its name. A node that sends no heartbeat for `node_grace_s` seconds
    becomes NotReady (give hundreds of nodes 40 seconds, Kubernetes' own default: heartbeats cost time); pods become
    ready `pod_start_s` seconds after they are bound. Errors carry the end of the log of the server that is to blame.
    """

    def __init__(
        self,
        state: Path,
        binaries: Binaries,
        node_grace_s: float = 8.0,
        pod_start_s: float = 0.1,
        flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.state = state.resolve()
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._certificates = Certificates(self.state / "pki")
        self._processes = {name: Process(self.state, name) for name in (*SERVERS, FAKE_NODES)}
        if any(process.alive() for process in self._processes.values()):
            raise RuntimeError(f"a control plane runs already in {self.state}: take it down first")
        self._certificates.make_all()
        self._ports = _free_ports()
        self.server = f"https://127.0.0.1:{self._ports['kube-apiserver']}"
        self.kubeconfig = self.user_kubeconfig("admin", groups=("system:masters",))
        self._commands = server_commands(self.state, binaries, self._certificates, self._ports, node_grace_s)
        for name, words in (flags or {}).items():
            self._commands[name] += words
        self._commands[FAKE_NODES] = [
            sys.executable,
            "-m",
            "scripts.kube.fake_nodes",
            f"--kubeconfig={self.kubeconfig}",
            f"--beat-s={node_grace_s / 4}",
            f"--pod-start-s={pod_start_s}",
        ]
        context = ssl.create_default_context(cafile=self._certificates.path("ca.crt"))
        context.load_cert_chain(*self._certificates.user("admin"))
        self._http = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        # The last thing that a server had to say against being ready.
        self._refusal = "no answer"
        with self.client() as api:
            self._core = client.CoreV1Api(api)

    def up(self, nodes: int | Path | list[FakeNode] = 0) -> None:
        """Start everything and return when pods can be scheduled on all nodes."""
        for name in (*SERVERS, FAKE_NODES):
            self.start(name)
        # Pods are refused until a controller has made their namespace's service account.
        self._until("kube-controller-manager", self._accounts_are_made, START_DEADLINE_S)
        self.add_nodes(named_nodes(nodes))

    def down(self) -> None:
        """Stop everything, newest first; the state stays."""
        stop_all(self.state)

    def client(self) -> client.ApiClient:
        """A client of the API server with all rights."""
        return config.new_client_from_config(str(self.kubeconfig))

    def start(self, name: str) -> None:
        """Start one server (or "fake-nodes") and wait until it is ready."""
        self._processes[name].spawn(self._commands[name], ROOT)
        self._until(name, lambda: self._ready(name), START_DEADLINE_S)
        if name == "etcd" and self._processes["kube-apiserver"].alive():
            # It needs a moment to find its storage again, in which it answers with errors.
            self._until("kube-apiserver", lambda: self._ready("kube-apiserver"), START_DEADLINE_S)

    def stop(self, name: str, kill: bool = False) -> None:
        """Stop one server (or "fake-nodes") and wait until it is gone; with `kill` it gets no warning."""
        self._processes[name].stop(kill=kill)

    def restart(self, name: str, kill: bool = False) -> None:
        """Stop one server (or "fake-nodes") and start it again, on the same port and data."""
        self.stop(name, kill)
        self.start(name)

    def pid(self, name: str) -> int | None:
        """The pid of a server (or of "fake-nodes"), None when it is stopped."""
        return self._processes[name].pid

    @property
    def ports(self) -> list[int]:
        """All ports on loopback that the servers listen on."""
        return list(self._ports.values())

    def add_nodes(self, nodes: list[FakeNode]) -> None:
        """Register nodes (those known from an earlier `up` are taken over) and wait until they take pods."""
        for node in nodes:
            try:
                self._core.create_node(node_object(node))
            except client.ApiException as refused:
                if refused.status != CONFLICT:
                    raise
        names = {node.name for node in nodes}
        self._until("kube-controller-manager", lambda: names <= self._open_nodes(), START_DEADLINE_S)

    def kill_node(self, name: str) -> None:
        """Let a node fall silent as by a power cut: after the grace period Kubernetes calls it NotReady."""
        self._core.patch_node(name, {"metadata": {"annotations": {DEAD: "true"}}})

    def revive_node(self, name: str) -> None:
        """Bring a killed node back."""
        self._core.patch_node(name, {"metadata": {"annotations": {DEAD: None}}})

    def user_kubeconfig(self, user: str, groups: tuple[str, ...] = (), namespace: str = "default") -> Path:
        """A kubeconfig for a user with a certificate; what the user may do is up to RBAC."""
        crt, key = self._certificates.user(user, groups)
        entry = {"client-certificate": str(crt), "client-key": str(key)}
        return self._kubeconfig(user, entry, namespace)

    def account_kubeconfig(self, account: str, namespace: str = "default") -> Path:
        """A kubeconfig for an existing service account, with a token of an hour, as its pods would have one."""
        answer = self._core.create_namespaced_service_account_token(
            account, namespace, {"spec": {"expirationSeconds": 3600}}
        )
        return self._kubeconfig(f"{namespace}.{account}", {"token": answer.status.token}, namespace)

    def grant(self, subject: str, rules: list[dict[str, Any]], namespace: str = "default") -> None:
        """Allow a user, or a service account ("NAMESPACE:NAME"), what a Role's rules say, in one namespace."""
        owner, _, account = subject.rpartition(":")
        who = {"kind": "ServiceAccount", "namespace": owner} if owner else {"kind": "User"}
        name = subject.replace(":", "-")
        with self.client() as api:
            rbac = client.RbacAuthorizationV1Api(api)
            rbac.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rules})
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [{**who, "name": account}]}
            rbac.create_namespaced_role_binding(namespace, binding)

    def _kubeconfig(self, user: str, entry: dict[str, str], namespace: str) -> Path:
        file = self.state / ("kubeconfig" if user == "admin" else f"{user.replace(':', '-')}.kubeconfig")
        return write_kubeconfig(file, self.server, self._certificates.folder / "ca.crt", entry, namespace)

    def _ready(self, name: str) -> bool:
        if name == FAKE_NODES:
            return True
        if name == "etcd":
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._ports[name]), timeout=1):
                return True
            return False
        page = "readyz" if name == "kube-apiserver" else "healthz"
        return self._answer(f"https://127.0.0.1:{self._ports[name]}/{page}") is not None

    def _answer(self, url: str) -> bytes | None:
        try:
            with self._http.open(url, timeout=5) as answer:
                return answer.read()
        except OSError as error:
            self._refusal = f"{url}: {error}"
            return None

    def _accounts_are_made(self) -> bool:
        return self._answer(f"{self.server}/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _open_nodes(self) -> set[str]:
        """Names of nodes without taints: a fresh node carries not-ready until a controller has looked at it."""
        found = json.loads(self._answer(f"{self.server}/api/v1/nodes?resourceVersion=0") or '{"items": []}')
        return {node["metadata"]["name"] for node in found["items"] if not node["spec"].get("taints")}

    def _until(self, name: str, holds: Callable[[], bool], deadline_s: float) -> None:
        process, until = self._processes[name], time.monotonic() + deadline_s
        while not holds():
            if not process.alive():
                raise RuntimeError(f"{name} ended while it was waited for; the end of {process.log}:\n{process.tail()}")
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{name} is not ready after {deadline_s:g} s ({self._refusal}); {process.log}:\n{process.tail()}"
                )
            time.sleep(0.05)


def _free_ports() -> dict[str, int]:
    """A port that nobody has at the moment for each of the servers' needs."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _LISTENING]
        return {name: opened.getsockname()[1] for name, opened in zip(_LISTENING, sockets, strict=True)}


def stop_all(state: Path) -> list[str]:
    """Stop whatever runs in a state folder, newest first, and say what it was."""
    stopped = []
    for name in (FAKE_NODES, *reversed(SERVERS)):
        process = Process(state.resolve(), name)
        if process.alive():
            stopped.append(name)
        process.stop()
    return stopped


@contextlib.contextmanager
def control_plane(nodes: int | Path | list[FakeNode] = 0, **options: Any) -> Iterator[ControlPlane]:
    """A control plane for the length of a `with`, in a temporary folder; options as for ControlPlane.

    It goes down too when this process is killed. Raises BinariesMissing; never builds from source.
    """
    binaries = find_binaries()
    state = Path(tempfile.mkdtemp(prefix="lwmecps-kube-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    guard = subprocess.Popen(
        [sys.executable, "-m", "scripts.kube", "down", "--after-stdin", "--state", str(state)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        cluster = ControlPlane(state, binaries, **options)
        cluster.up(nodes)
        yield cluster
    finally:
        stop_all(state)
        guard.communicate(timeout=GUARD_DEADLINE_S)
