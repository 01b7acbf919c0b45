"""The command lines of the servers."""

import json
from pathlib import Path

from .binaries import Binaries
from .certificates import Certificates

SERVICE_RANGE = "10.96.0.0/16"
# Client limits far above the defaults (20 to 50 requests a second), which would make a thousand pods take a minute.
_UNHURRIED = ["--kube-api-qps=500", "--kube-api-burst=1000"]


def write_kubeconfig(
    file: Path, server: str, authority: Path, user: dict[str, str], namespace: str = "default"
) -> Path:
    """A kubeconfig for one user; `user` is kubeconfig's own user entry (JSON is YAML)."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user", "namespace": namespace}}],
        "current-context": "local",
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=1))
    return file


def server_commands(
    state: Path, binaries: Binaries, certificates: Certificates, ports: dict[str, int], node_grace_s: float
) -> dict[str, list[str]]:
    """The command line of each server, in the order in which they start.

    `ports` has etcd, etcd-peer, kube-apiserver, kube-controller-manager and kube-scheduler; everything listens on
    loopback, speaks TLS and keeps its data and its kubeconfig in `state`.
    """
    path = certificates.path
    etcd, peer = (f"https://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    return {
        "etcd": [
            binaries["etcd"],
            "--name=default",
            f"--data-dir={state / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--cert-file={path('etcd.crt')}",
            f"--key-file={path('etcd.key')}",
            f"--trusted-ca-file={path('etcd-ca.crt')}",
            "--client-cert-auth",
            f"--peer-cert-file={path('etcd.crt')}",
            f"--peer-key-file={path('etcd.key')}",
            f"--peer-trusted-ca-file={path('etcd-ca.crt')}",
            "--peer-client-cert-auth",
        ],
        "kube-apiserver": [
            binaries["kube-apiserver"],
            f"--etcd-servers={etcd}",
            f"--etcd-cafile={path('etcd-ca.crt')}",
            f"--etcd-certfile={path('etcd-client.crt')}",
            f"--etcd-keyfile={path('etcd-client.key')}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports['kube-apiserver']}",
            # An endpoint may not be a loopback address: nothing is advertised.
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--client-ca-file={path('ca.crt')}",
            f"--tls-cert-file={path('server.crt')}",
            f"--tls-private-key-file={path('server.key')}",
            f"--service-account-key-file={path('accounts.crt')}",
            f"--service-account-signing-key-file={path('accounts.key')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # The aggregator's identity, for an APIService such as metrics.k8s.io.
            f"--requestheader-client-ca-file={path('front-ca.crt')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={path('front-client.crt')}",
            f"--proxy-client-key-file={path('front-client.key')}",
        ],
        "kube-controller-manager": [
            binaries["kube-controller-manager"],
            *_client(state, binaries, certificates, ports, "kube-controller-manager"),
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={path('accounts.key')}",
            f"--root-ca-file={path('ca.crt')}",
            f"--cluster-signing-cert-file={path('ca.crt')}",
            f"--cluster-signing-key-file={path('ca.key')}",
            f"--node-monitor-grace-period={node_grace_s}s",
            "--node-monitor-period=1s",
        ],
        "kube-scheduler": [
            binaries["kube-scheduler"],
            *_client(state, binaries, certificates, ports, "kube-scheduler"),
        ],
    }


def _client(state: Path, binaries: Binaries, certificates: Certificates, ports: dict[str, int], name: str) -> list[str]:
    """What the API server's two companions have in common."""
    crt, key = certificates.user(f"system:{name}")
    kubeconfig = write_kubeconfig(
        state / f"{name}.kubeconfig",
        f"https://127.0.0.1:{ports['kube-apiserver']}",
        certificates.folder / "ca.crt",
        {"client-certificate": str(crt), "client-key": str(key)},
    )
    words = [f"--{flag}kubeconfig={kubeconfig}" for flag in ("", "authentication-", "authorization-")]
    words += [
        "--bind-address=127.0.0.1",
        f"--secure-port={ports[name]}",
        f"--tls-cert-file={certificates.path('server.crt')}",
        f"--tls-private-key-file={certificates.path('server.key')}",
        "--leader-elect=false",
        *_UNHURRIED,
    ]
    # Up to 1.23 a plain port is open as well unless it is 0; 1.24 no longer knows the flag.
    return [*words, "--port=0"] if binaries.version < (1, 24) else words
