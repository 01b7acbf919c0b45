"""A memory of transitions that takes new ones in without copying those that it has."""

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch


class Remembered:
    """The newest `size` samples of fields `[K, S, ...]`, in the order in which they came.

    They are a window of buffers twice as long; only when new ones no longer fit behind it does it move to the front,
    so that a sample is copied once on average. Views that `add` has returned are good until it is called again.
    """

    def __init__(self, size: int, kept: Batch | None = None) -> None:
        self._size, self._start, self._stop = size, 0, 0
        self._buffers: dict[str, Tensor] = {}
        self.fields: Batch = dict(kept or {})
        """What is remembered; empty before the first `add`."""

    def add(self, new: Batch) -> Batch:
        """Take samples in, forget the oldest, and return all."""
        news = {name: x[:, -self._size :] for name, x in new.items()}
        count = next(iter(news.values())).shape[1]
        if not self._buffers:
            self._start_with(self.fields or {name: x[:, :0] for name, x in news.items()})
        kept = min(self._stop - self._start, self._size - count)
        first = self._stop - kept
        if self._stop + count > 2 * self._size:
            for name, buffer in self._buffers.items():
                # Through a copy where they overlap; they do where the memory is not yet full.
                buffer[:, :kept] = self.fields[name][:, self.fields[name].shape[1] - kept :].clone()
            first, self._stop = 0, kept
        for name, buffer in self._buffers.items():
            buffer[:, self._stop : self._stop + count] = news[name]
        self._start, self._stop = first, self._stop + count
        self.fields = {name: buffer[:, self._start : self._stop] for name, buffer in self._buffers.items()}
        return self.fields

    def _start_with(self, fields: Batch) -> None:
        for name, x in fields.items():
            old = x[:, -self._size :]
            self._buffers[name] = torch.empty((x.shape[0], 2 * self._size, *x.shape[2:]), dtype=x.dtype)
            self._buffers[name][:, : old.shape[1]] = old
            self._stop = old.shape[1]
