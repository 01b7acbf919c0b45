"""The file of a rule: arrays of NumPy in a zip (`.npz`), named as in the published one (Disco103).

The published file is its authors' and no part of this project. It holds 42 arrays, 754,778 numbers; other rules of the
same wiring may have other sizes, which the arrays' shapes tell.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch

from lwmecps_core.algorithms.disco.rule import LIFE, OWN, Rule
from lwmecps_core.errors import InvalidInput, Violation

MOST_BYTES = 8 * 2**20
"""Of a file, and of all its arrays together."""
STEP, CHOICE = 23, 9
"""Numbers that describe a step, and a choice in it, before embeddings of choices are added to the former."""


@dataclass(frozen=True)
class Sizes:
    """Units of a rule: `predictions`, `hidden` of what reads a trajectory, `life` of what is kept, `embedding` of
    predictions, `channels` and `choice` of choices, `policy` of the last layer before the policy, `summary` of a step.
    """

    predictions: int = 600
    hidden: int = 256
    life: int = 128
    embedding: int = 16
    channels: int = 16
    choice: int = 2
    policy: int = 16
    summary: int = 16


PUBLISHED = Sizes()


def shapes(sizes: Sizes) -> dict[str, tuple[int, int]]:
    """Layer → inputs and outputs."""
    s = sizes
    described = STEP + 2 * s.choice
    found = {
        f"{OWN}/linear": (s.life, s.hidden),
        f"{OWN}/linear_1": (s.hidden, 1),
        f"{OWN}/linear_2": (s.hidden, s.predictions),
        f"{OWN}/linear_3": (s.hidden, s.predictions),
        f"{OWN}/linear_4": (s.policy, 1),
        f"{OWN}/lstm/linear": (described + s.hidden, 4 * s.hidden),
        f"{OWN}/sequential_1/conv1_d": (2 * (s.hidden + s.choice), s.policy),
        f"{LIFE}/lstm/linear": (s.summary + s.life, 4 * s.life),
        f"{LIFE}/mlp_2/~/linear_0": (described + 2, s.summary),
    }
    for where in (OWN, LIFE):
        for name in ("mlp", "mlp_1"):
            found[f"{where}/{name}/~/linear_0"] = (s.predictions, s.embedding)
            found[f"{where}/{name}/~/linear_1"] = (s.embedding, 1)
        found[f"{where}/sequential/conv1_d"] = (2 * CHOICE, s.channels)
        found[f"{where}/sequential/conv1_d_1"] = (2 * s.channels, s.choice)
    return found


@lru_cache(maxsize=4)
def from_bytes(data: bytes, source: str) -> Rule:
    """The rule in a file; raises `InvalidInput` naming `source` and the array that is missing, unknown or of another
    shape or type, or holds something else than finite numbers. Who takes it changes no tensor of it.
    """
    try:
        arrays = _arrays(data)
        sizes = sizes_of(arrays)
        return {name: torch.from_numpy(_checked(arrays, name, shape)) for name, shape in _flat(sizes).items()}
    except (
        ValueError,
        KeyError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        reason = str(error).removeprefix("'").removesuffix("'")
        raise InvalidInput(source, [Violation("rule", f"not the file of a rule: {reason}")]) from None


def to_bytes(rule: Mapping[str, torch.Tensor]) -> bytes:
    """The file of a rule's weights."""
    file = io.BytesIO()
    arrays = {name: x.detach().to(torch.float32).numpy() for name, x in rule.items()}
    stored = {name: x[None] if "/conv1_d" in name and x.ndim == 2 else x for name, x in arrays.items()}
    np.savez(file, **stored)  # type: ignore[arg-type]
    return file.getvalue()


def drawn(sizes: Sizes, seed: int) -> Rule:
    """Random weights: normal with a deviation of one over the root of a layer's inputs; biases a tenth of that of 1."""
    generator, found = np.random.default_rng(seed), Rule()
    for name, shape in _flat(sizes).items():
        scale = 0.1 if name.endswith("/b") else shape[0] ** -0.5
        found[name] = torch.from_numpy((scale * generator.standard_normal(shape)).astype(np.float32))
    return found


def _flat(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Array → shape, without the axis of length 1 that convolutions have in files."""
    pairs = sorted(shapes(sizes).items())
    return {f"{name}/{kind}": shape[kind == "b" :] for name, shape in pairs for kind in ("b", "w")}


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    if len(data) > MOST_BYTES:
        raise ValueError(f"{len(data):,} bytes, at most {MOST_BYTES:,}")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        if (unpacked := sum(entry.file_size for entry in file.infolist())) > MOST_BYTES:
            raise ValueError(f"{unpacked:,} bytes once unpacked, at most {MOST_BYTES:,}")
    with np.load(io.BytesIO(data), allow_pickle=False) as opened:
        return {name: opened[name] for name in opened.files}


def sizes_of(arrays: Mapping[str, np.ndarray | torch.Tensor]) -> Sizes:
    """The sizes of a rule, as the biases of its layers tell them; raises `ValueError` where one is missing."""
    of = {
        "predictions": f"{OWN}/linear_2",
        "hidden": f"{OWN}/linear",
        "embedding": f"{OWN}/mlp/~/linear_0",
        "channels": f"{OWN}/sequential/conv1_d",
        "choice": f"{OWN}/sequential/conv1_d_1",
        "policy": f"{OWN}/sequential_1/conv1_d",
        "summary": f"{LIFE}/mlp_2/~/linear_0",
    }
    names = {f"{name}/b" for name in (*of.values(), f"{LIFE}/lstm/linear")}
    if missing := sorted(names - arrays.keys()):
        raise ValueError(f"{missing[0]} is missing")
    if odd := sorted(name for name in names if len(arrays[name].shape) != 1):
        raise ValueError(f"{odd[0]} has the shape {tuple(arrays[odd[0]].shape)}")
    found = {field: arrays[f"{name}/b"].shape[-1] for field, name in of.items()}
    sizes = Sizes(life=arrays[f"{LIFE}/lstm/linear/b"].shape[-1] // 4, **found)
    if empty := [field.name for field in fields(sizes) if getattr(sizes, field.name) < 1]:
        raise ValueError(f"no {empty[0]}")
    if unknown := sorted(arrays.keys() - _flat(sizes).keys()):
        raise ValueError(f"{unknown[0]} is no array of a rule")
    return sizes


def _checked(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    array, convolution = arrays[name], "/conv1_d" in name and len(shape) == 2
    expected = (1, *shape) if convolution else shape
    if array.shape != expected or array.dtype != np.float32:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not float32 {expected}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite numbers")
    return np.array(array.reshape(shape))
