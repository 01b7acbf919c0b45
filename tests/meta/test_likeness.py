"""Which known clusters one is like, and why."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lwmecps_core import tensor_file
from lwmecps_core.config import dump
from lwmecps_core.context.artefact import Knowledge, Subject
from lwmecps_core.context.portrait import quantities
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta.likeness import FORMAT, MetricData, distances, from_bytes, nearest, portrait, to_bytes
from lwmecps_core.meta.metric import MetricConfig, MetricName, make
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import flatten

NAMES: tuple[MetricName, ...] = ("prototypical", "matching", "relation")
USUAL = np.array([q.usual for q in quantities()])
SPREAD = np.array([q.spread for q in quantities()])
PLACE = {(q.source.about, q.source.what, q.pool): i for i, q in enumerate(quantities())}


def _moved(what: Sequence[tuple[tuple[str, str, str], float]]) -> np.ndarray:  # type: ignore[type-arg]
    row = USUAL.copy()
    for key, far in what:
        row[PLACE[key]] += far * SPREAD[PLACE[key]]
    return row


def _metric(name: MetricName) -> MetricData:
    cfg = MetricConfig(name=name, hidden_size=8, embedding_size=4)
    return MetricData(cfg, make(cfg).init(len(USUAL), torch.Generator().manual_seed(1)))


def test_a_distance_is_the_root_of_the_mean_square_of_what_both_know() -> None:
    latency, failed = ("cluster", "latency", ""), ("cluster", "failed requests", "")
    other = _moved([(latency, 3.0), (failed, -4.0)])
    assert distances(other[None], USUAL)[0] == pytest.approx(np.sqrt(25.0 / len(USUAL)))
    one = USUAL.copy()
    one[PLACE[failed]] = np.nan
    assert distances(other[None], one)[0] == pytest.approx(np.sqrt(9.0 / (len(USUAL) - 1)))
    assert distances(np.full((1, len(USUAL)), np.nan), one)[0] == np.inf


def test_the_nearest_come_first_and_say_what_differs_and_what_is_alike() -> None:
    service, load = ("deployments", "service time", "typical"), ("deployments", "load", "typical")
    known = np.stack([_moved([(service, 2.0)]), _moved([(load, 1.0)]), USUAL])
    found = nearest(known, USUAL)
    assert [x.place for x in found] == [2, 1, 0] and found[0].distance == 0.0 and not found[0].differs
    (reason,) = found[2].differs
    assert reason.quantity == "service time of deployments, typical" and reason.distance == pytest.approx(
        found[2].distance
    )
    assert reason.here.endswith(" ms") and reason.here != reason.there
    assert found[2].alike[0].quantity == "load of deployments, typical"
    assert [x.place for x in nearest(known, USUAL, most=2)] == [2, 1]
    assert nearest(known[:0], USUAL) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_comes_back_from_its_file_and_measures_alike(name: MetricName) -> None:
    metric, known = _metric(name), np.stack([_moved([(("cluster", "latency", ""), x)]) for x in (0.0, 1.0, 3.0)])
    again = from_bytes(to_bytes(metric), "file")
    assert again.cfg == metric.cfg
    kept, own = flatten(again.params, "p"), flatten(metric.params, "p")
    assert kept.keys() == own.keys() and all(torch.equal(kept[n], own[n]) for n in own)
    np.testing.assert_array_equal(distances(known, USUAL, again), distances(known, USUAL, metric))
    reasons = nearest(known, USUAL, metric)[-1].differs
    if reasons:
        assert reasons[0].quantity == "latency"


def test_damaged_metrics_are_refused_by_name() -> None:
    content = to_bytes(_metric("relation"))
    for damaged in (b"", content[:-1], content.replace(b"metric-1", b"metric-9"), content.replace(b"moves", b"mover")):
        with pytest.raises(InvalidInput, match="file: metric: not a metric file"):
            from_bytes(damaged, "file")
    huge = {"cfg": dump(MetricConfig()) | {"hidden_size": 10**9}, "quantities": [q.name for q in quantities()]}
    with pytest.raises(InvalidInput, match="file: hidden_size"):
        from_bytes(tensor_file.write({}, {"format": FORMAT, "metric": json.dumps(huge)}), "file")
    other = MetricData(MetricConfig(name="relation"), _metric("relation").params)
    with pytest.raises(InvalidInput, match="not those of its settings"):
        from_bytes(to_bytes(other), "file")


def test_what_can_not_be_compared_is_refused_by_name() -> None:
    spec = EnvSpec("lwmecps-v3", (("global", (5,)),), (3,), 1, 1, "deployment")
    subject = Subject(
        context="recurrent",
        task="t",
        env_spec=spec,
        interval_s=10.0,
        deployments=("a",),
        max_replicas=(8,),
        nodes=("n",),
    )
    with pytest.raises(InvalidInput, match="memory edge: memory: is of the context 'recurrent'"):
        portrait(Knowledge(subject, {"state": np.zeros((1, 4))}), "memory edge")
