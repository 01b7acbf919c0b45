"""What every cluster backend promises (see `ClusterBackend`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lwmecps_core.cluster.base import ClusterBackend, ClusterState
from lwmecps_core.errors import InvalidInput, WrongState
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec


def conformance_task() -> TaskSpec:
    """Two nodes with room for three pods each; one deployment may run on the first only."""
    return TaskSpec(
        name="conformance",
        env_id="lwmecps-v4",
        cluster=ClusterSpec(
            nodes=tuple(NodeSpec(name=name, cpu_millicores=1500.0, ram_mib=4096.0) for name in ("node-a", "node-b")),
            rtt_ms=((0.0, 5.0), (5.0, 0.0)),
        ),
        deployments=(
            DeploymentSpec(name="web", max_replicas=5, startup_s=0.0),
            DeploymentSpec(name="api", max_replicas=4, allowed_nodes=("node-a",), startup_s=0.0),
        ),
        workload=WorkloadSpec(pattern="uniform", base_users=(3.0, 3.0), share=((0.5, 0.5), (0.5, 0.5))),
    )


NUMBERS = tuple(name for name in ClusterState.__dataclass_fields__ if name != "simulated")


def settle(backend: ClusterBackend, placement: Sequence[Sequence[int]], room: bool = False) -> ClusterState:
    """Ask for a placement and wait until no pod is starting; where there is `room` for all, none pending either."""
    backend.apply(np.array(placement, np.int32))
    state = backend.advance()
    for _ in range(10):
        if not state.starting.any() and not (room and state.pending.any()):
            return state
        state = backend.advance()
    raise AssertionError("pods did not become ready within ten intervals")


class BackendConformance:
    """Subclass it and give it a `backend`: a fresh, open one for `conformance_task()`.

    A real cluster may need nodes with the names and sizes of that task's.
    """

    def test_reset_brings_the_initial_replicas_home_and_ready(self, backend: ClusterBackend) -> None:
        state = backend.reset(1)
        assert state.ready.tolist() == [[1, 0], [1, 0]]
        assert not state.starting.any() and not state.pending.any()

    def test_reset_works_again_after_other_placements(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        settle(backend, [[2, 1], [0, 0]])
        assert backend.reset(2).ready.tolist() == [[1, 0], [1, 0]]

    def test_apply_takes_effect_only_when_time_advances(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        backend.apply(np.array([[0, 2], [1, 0]], np.int32))
        assert backend.observe().ready.tolist() == [[1, 0], [1, 0]]
        assert settle(backend, [[0, 2], [1, 0]]).ready.tolist() == [[0, 2], [1, 0]]

    def test_placing_the_same_again_moves_nothing(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        settle(backend, [[2, 1], [1, 0]])
        assert settle(backend, [[2, 1], [1, 0]]).moves == 0

    def test_moves_count_pods_created_and_removed(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        backend.apply(np.array([[0, 2], [1, 0]], np.int32))
        assert backend.advance().moves == 3

    def test_a_node_is_never_filled_beyond_its_capacity(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        state = settle(backend, [[2, 0], [3, 0]])
        assert state.ready.sum(axis=0).tolist() == [3, 0]
        assert state.pending.sum() == 2
        assert (state.cpu_requested <= 1 + 1e-9).all()

    def test_pending_pods_start_when_room_appears(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        settle(backend, [[3, 0], [3, 0]])
        state = settle(backend, [[0, 0], [3, 0]], room=True)
        assert (int(state.ready[1, 0]), int(state.pending.sum())) == (3, 0)

    def test_forbidden_nodes_and_surplus_replicas_are_left_out(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        state = settle(backend, [[3, 3], [0, 2]])
        assert state.desired.tolist() == [[3, 2], [0, 0]]

    @pytest.mark.parametrize("wrong", [[[1, 1]], [[1, 0], [-1, 0]], [[0.5, 0], [0, 0]]])
    def test_a_wrong_placement_is_refused_and_changes_nothing(self, backend: ClusterBackend, wrong: Any) -> None:
        backend.reset(1)
        with pytest.raises(InvalidInput):
            backend.apply(np.array(wrong))
        assert settle(backend, [[1, 0], [1, 0]]).desired.tolist() == [[1, 0], [1, 0]]

    def test_observing_changes_nothing_and_shows_the_last_interval(self, backend: ClusterBackend) -> None:
        state = backend.reset(1)
        for name in ClusterState.__dataclass_fields__:
            first, second = getattr(state, name), getattr(backend.observe(), name)
            assert np.array_equal(first, second), name

    def test_a_state_stays_as_it_was_when_time_advances(self, backend: ClusterBackend) -> None:
        state = backend.reset(1)
        before = state.ready.copy(), state.users_rate.copy()
        settle(backend, [[0, 2], [1, 0]])
        assert np.array_equal(before[0], state.ready) and np.array_equal(before[1], state.users_rate)

    def test_what_is_shown_is_finite_and_within_its_range(self, backend: ClusterBackend) -> None:
        backend.reset(1)
        state = settle(backend, [[2, 1], [1, 0]])
        for name in NUMBERS:
            value = np.asarray(getattr(state, name))
            assert np.isfinite(value).all() and (value >= 0).all(), name
        for share in (state.failed_share, state.failed_share_total, state.utilisation, state.cpu_requested):
            assert (np.asarray(share) <= 1 + 1e-9).all()

    def test_before_reset_and_after_close_the_state_is_wrong(self, backend: ClusterBackend) -> None:
        with pytest.raises(WrongState):
            backend.observe()
        with pytest.raises(WrongState):
            backend.advance()
        backend.reset(1)
        backend.close()
        backend.close()
        for call in (backend.observe, backend.advance, lambda: backend.reset(1)):
            with pytest.raises(WrongState):
                call()
        with pytest.raises(WrongState):
            backend.apply(np.ones((2, 2), np.int32))
