"""How a process learns that it should end."""

import signal
import threading
from queue import SimpleQueue


def ending() -> threading.Event:
    """An event that is set by SIGTERM or SIGINT from now on; to be called in the main thread.

    A handler runs in the middle of whatever the main thread does, of the event's own code too, so it must take no lock
    that isn't reentrant: a second signal would wait for the first one for ever. `SimpleQueue.put` may be called there.
    """
    told, event = SimpleQueue[int](), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _: told.put(which))

    def pass_on() -> None:
        told.get()
        event.set()

    threading.Thread(target=pass_on, name="ending", daemon=True).start()
    return event
