import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwmecps_core.batch import concatenate
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout import codec
from lwmecps_core.rollout.messages import Origin, SnapshotRef
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.rollout.v1 import rollout_pb2
from tests.rollout.factory import assert_equal, plan, random_batch, tasks

ORIGIN = Origin("w", 7, 3)
REF = SnapshotRef("0" * 64, 5)
sizes = st.integers(1, 9)


@settings(max_examples=40)
@given(
    t=sizes,
    b=sizes,
    o=sizes,
    m=st.integers(0, 20),
    a=sizes,
    seed=st.integers(0, 2**63),
    extras=st.sampled_from([(), ("log_prob",), ("b", "a")]),
    info=st.sampled_from([(), ("x",)]),
)
def test_batch_survives_the_wire_bit_for_bit(t, b, o, m, a, seed, extras, info):
    batch = random_batch(np.random.default_rng(seed), t, b, o, m, a, extras, info, version=2**40, seed=seed)
    (data,) = codec.encode_batch("r", 4, batch, ORIGIN)
    part = codec.decode_part(data)
    assert (part.request_id, part.task, part.first_column, part.width, part.origin) == ("r", 4, 0, b, ORIGIN)
    assert_equal(part.batch, batch)


def test_special_floats_and_continuous_actions_survive():
    batch = random_batch(np.random.default_rng(0))
    batch.reward[0] = [np.nan, np.inf, -0.0]
    batch = type(batch)(**{**vars(batch), "action": batch.action.astype(np.float32)})
    assert_equal(codec.decode_part(codec.encode_batch("r", 0, batch, ORIGIN)[0]).batch, batch)


def test_large_batch_is_split_along_b_and_merges_equal():
    batch = random_batch(np.random.default_rng(0), t=100, b=70, o=50, m=40)
    entries = codec.encode_batch("r", 0, batch, ORIGIN)
    assert len(entries) > 3
    assert all(len(entry) <= codec.MAX_ENTRY_BYTES for entry in entries)
    assert min(len(entry) for entry in entries[:-1]) > codec.MAX_ENTRY_BYTES * 0.8
    parts = [codec.decode_part(entry) for entry in entries]
    assert [part.origin.sequence for part in parts] == list(range(3, 3 + len(parts)))
    assert_equal(concatenate([part.batch for part in parts]), batch)


def test_one_huge_column_is_one_entry():
    batch = random_batch(np.random.default_rng(0), t=2000, b=2, o=50)
    assert len(codec.encode_batch("r", 0, batch, ORIGIN)) == 2


def test_views_are_encoded_like_copies():
    whole = random_batch(np.random.default_rng(0), b=9)
    view = whole.columns(2, 5)
    assert_equal(codec.decode_part(codec.encode_batch("r", 0, view, ORIGIN)[0]).batch, view)


def test_failure_carries_its_error():
    part = codec.decode_part(codec.encode_failure("r", ORIGIN, "ValueError: no"))
    assert (part.batch, part.error, part.request_id) == (None, "ValueError: no", "r")


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_way(data):
    for decode in (codec.decode_part, codec.decode_request):
        with pytest.raises(InvalidInput):
            decode(data)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("obs", lambda m: m.obs.shape.__setitem__(0, 2)),
        ("action", lambda m: m.ClearField("action")),
        ("mask_bits", lambda m: setattr(m, "mask_bits", m.mask_bits[:-1])),
        ("valid_bits", lambda m: setattr(m, "valid_bits", b"")),
        ("extras", lambda m: m.extra_names.append("one too many")),
        ("first_column", lambda m: setattr(m, "first_column", 1)),
        ("reward", lambda m: setattr(m.reward, "data", m.reward.data + b"1234")),
    ],
)
def test_batch_whose_parts_do_not_fit_is_refused_by_name(field, change):
    (data,) = codec.encode_batch("r", 0, random_batch(np.random.default_rng(0)), ORIGIN)
    message = rollout_pb2.RolloutBatch.FromString(data)
    change(message)
    with pytest.raises(InvalidInput, match=field):
        codec.decode_part(message.SerializeToString())


def test_request_survives_the_wire():
    request, data = codec.make_request("run", tasks(3), REF, 8, plan(3), "replies", "00-a-b-01")
    assert codec.decode_request(data) == request
    assert request.first_task == 8


def request_id(**changes):
    usual = {"run_id": "run", "tasks": tasks(2), "snapshot": REF, "first_task": 0, "plan": plan(2), "reply_stream": "s"}
    return codec.make_request(**(usual | changes))[0].id


def test_request_id_is_a_digest_of_the_content():
    assert request_id() == request_id()
    changes = [
        {"run_id": "x"},
        {"tasks": tasks(3)[1:]},
        {"snapshot": SnapshotRef("1" * 64, 5)},
        {"first_task": 1},
        {"plan": plan(2, episodes=9)},
        {"reply_stream": "t"},
    ]
    others = [request_id(**change) for change in changes]
    assert len({request_id(), *others}) == 7
    assert request_id(traceparent="00-a-b-01") == request_id(), "asked for again, it is known, whatever the trace"


def test_request_id_does_not_depend_on_the_process():
    code = "from tests.rollout.test_codec import request_id; print(request_id())"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert other.stdout.strip() == request_id()


def test_request_without_a_seed_for_each_task_is_refused():
    _, data = codec.make_request("run", tasks(2), REF, 0, plan(1), "s")
    with pytest.raises(InvalidInput, match="seed"):
        codec.decode_request(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_tensor_survives_the_wire(dtype, shape):
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2).astype(dtype)
    back = tensor_from_proto(tensor_to_proto(array))
    assert back.dtype == dtype and back.shape == shape and (back == array).all()


def test_big_endian_and_transposed_arrays_arrive_in_order():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    assert (tensor_from_proto(tensor_to_proto(array)) == array).all()


def test_tensor_with_wrong_length_or_type_is_refused():
    with pytest.raises(InvalidInput, match="needs 8"):
        tensor_from_proto(tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT32, shape=[2], data=b"1234567"))
    with pytest.raises(InvalidInput, match="unknown element type"):
        tensor_from_proto(tensor_pb2.Tensor(shape=[0]))
    with pytest.raises(InvalidInput, match="can't be sent"):
        tensor_to_proto(np.zeros(2, np.complex64))


def test_a_shape_that_no_array_can_have_is_refused():
    with pytest.raises(InvalidInput, match="shape"):
        tensor_from_proto(tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT32, shape=[0, 2**32 - 1, 2**32 - 1, 2**32 - 1]))
