"""The keys and certificates of a control plane, made by openssl."""

import os
import subprocess
from pathlib import Path

SERVER_NAMES = (
    "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local"
)
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650")


class Certificates:
    """A folder of `NAME.crt` and `NAME.key`; everything is made when first asked for and kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # An empty configuration: the machine's own may add extensions.
        self._settings = folder / "openssl.cnf"
        self._settings.write_text("[req]\ndistinguished_name = dn\n[dn]\n")

    def path(self, file: str) -> str:
        """The absolute path of one of the folder's files."""
        return str(self.folder / file)

    def make_all(self) -> None:
        """The authorities (cluster, etcd, front proxy), the servers' certificates and the service accounts' key."""
        self._authority("ca")
        self._authority("etcd-ca")
        self._authority("front-ca")
        self._signed("server", "ca", "/CN=kube-apiserver", "serverAuth", SERVER_NAMES)
        self._signed("etcd", "etcd-ca", "/CN=etcd", "serverAuth,clientAuth", SERVER_NAMES)
        self._signed("etcd-client", "etcd-ca", "/CN=kube-apiserver", "clientAuth")
        self._signed("front-client", "front-ca", "/CN=front-proxy-client", "clientAuth")
        # A certificate only because it is a file from which the API server can take the public key.
        self._authority("accounts")

    def user(self, name: str, groups: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """The files of the certificate and of the key of a user of the cluster."""
        stem = "user-" + name.replace(":", "-").replace("/", "-")
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={name.replace('/', chr(92) + '/')}"
        self._signed(stem, "ca", subject, "clientAuth")
        return self.folder / f"{stem}.crt", self.folder / f"{stem}.key"

    def _authority(self, name: str) -> None:
        if not (self.folder / f"{name}.crt").exists():
            self._request(
                name,
                f"/CN={name}",
                "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            )

    def _signed(self, name: str, authority: str, subject: str, usage: str, names: str = "") -> None:
        if (self.folder / f"{name}.crt").exists():
            return
        extensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=digitalSignature", f"extendedKeyUsage={usage}"]
        if names:
            extensions.append(f"subjectAltName={names}")
        signer = ("-CA", self.path(f"{authority}.crt"), "-CAkey", self.path(f"{authority}.key"))
        self._request(name, subject, *extensions, signer=signer)

    def _request(self, name: str, subject: str, *extensions: str, signer: tuple[str, ...] = ()) -> None:
        added = [word for extension in extensions for word in ("-addext", extension)]
        half = self.path(f"{name}.crt.part")
        _openssl(
            "req",
            "-x509",
            "-config",
            str(self._settings),
            *_EC,
            *signer,
            "-subj",
            subject,
            *added,
            "-keyout",
            self.path(f"{name}.key"),
            "-out",
            half,
        )
        os.replace(half, self.path(f"{name}.crt"))


def _openssl(*words: str) -> None:
    answer = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode != 0:
        raise RuntimeError(f"openssl {words[0]} failed: {answer.stderr[-1000:]}")
