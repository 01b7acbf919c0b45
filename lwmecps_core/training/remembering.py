"""A memory of transitions that takes new ones in without copying those that it has."""

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch


class Remembered:
    """The newest `size` samples of fields `[K, S, ...]`, in the order in which they came.

    They are a window of buffers up to twice as long; only when new ones no longer fit behind it does it move to the
    front, so that a sample is copied once or twice on average. Views that `add` has returned are good until it is
    called again.
    """

    def __init__(self, size: int, kept: Batch | None = None) -> None:
        self._size, self._stop = size, 0
        self._buffers: dict[str, Tensor] = {}
        self.fields: Batch = dict(kept or {})
        """What is remembered; empty before the first `add`."""

    def add(self, new: Batch) -> Batch:
        """Take samples in, forget the oldest, and return all."""
        news = {name: x[:, -self._size :] for name, x in new.items()}
        count, before = _length(news), self.fields or {name: x[:, :0] for name, x in news.items()}
        kept = min(_length(before), self._size - count)
        room = _length(self._buffers)
        if self._stop + count > room:
            longer = min(2 * self._size, 2 * (kept + count))
            for name, x in before.items():
                oldest = x[:, x.shape[1] - kept :].clone()  # they may overlap where the buffer stays
                if longer > room:
                    self._buffers[name] = torch.empty((x.shape[0], longer, *x.shape[2:]), dtype=x.dtype)
                self._buffers[name][:, :kept] = oldest
            self._stop = kept
        for name, buffer in self._buffers.items():
            buffer[:, self._stop : self._stop + count] = news[name]
        first, self._stop = self._stop - kept, self._stop + count
        self.fields = {name: buffer[:, first : self._stop] for name, buffer in self._buffers.items()}
        return self.fields


def _length(fields: Batch) -> int:
    """Of the samples' axis; 0 without any."""
    return next(iter(fields.values())).shape[1] if fields else 0
