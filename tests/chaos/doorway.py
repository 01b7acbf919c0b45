"""A TCP address that leads to a server, and later to another one, as a virtual IP or a Kubernetes Service does."""

import socket
import threading
from contextlib import suppress

from services.cli.local import HOST


class Doorway:
    """Listens on `port` as long as the context lasts, and passes bytes to and from wherever `lead_to` said last."""

    def __init__(self) -> None:
        self._target: int | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="doorway", daemon=True).start()

    def __enter__(self) -> "Doorway":
        return self

    def __exit__(self, *_: object) -> None:
        self.lead_to(None)
        self._flowing.set()
        self._listener.close()

    def lead_to(self, port: int | None) -> None:
        """Cut what is connected; new connections go to `port`, or nowhere."""
        with self._lock:
            self._target = port
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def hold(self) -> None:
        """Pass nothing on from now on, and end nothing: whoever is connected seems to have vanished."""
        self._flowing.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                try:
                    if self._target is None:
                        raise ConnectionRefusedError
                    server = socket.create_connection((HOST, self._target), timeout=2)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
