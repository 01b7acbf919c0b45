"""Which parameters learn when."""

import pytest
import torch

from lwmecps_core.errors import InvalidInput
from lwmecps_core.testing import examples
from lwmecps_core.transfer.freezing import (
    check_features,
    check_frozen_layers,
    from_layer,
    hidden_layers,
    output_layers,
    still_frozen,
)

X = torch.zeros(1)
SET = {"direct.bias": X, "mix.weight": X, "out.weight": X, "row.weight": X}
MLP = {"hidden0.weight": X, "hidden1.weight": X, "hidden2.bias": X, "out.weight": X}
TREE = {"actor": SET | {"log_std": X}, "alpha": {"log_alpha": X}}


def test_output_layers_are_all_that_lies_above_hidden_layers_in_every_group() -> None:
    assert {g: set(names) for g, names in output_layers(TREE).items()} == {
        "actor": {"out.weight", "direct.bias", "log_std"},
        "alpha": {"log_alpha"},
    }
    assert set(output_layers({"critic": MLP})["critic"]) == {"out.weight"}


def test_layers_are_counted_from_the_input_on_whatever_the_order_of_names() -> None:
    assert set(from_layer(TREE, 1)["actor"]) == {"direct.bias", "mix.weight", "out.weight", "log_std"}
    assert set(from_layer({"critic": MLP}, 2)["critic"]) == {"hidden2.bias", "out.weight"}
    assert from_layer(TREE, 0) == TREE
    assert (hidden_layers(TREE), hidden_layers({"critic": MLP})) == (2, 3)


def test_layers_thaw_one_by_one_in_equal_parts_of_the_run() -> None:
    assert [still_frozen(2, step, 9) for step in range(9)] == [2, 2, 2, 1, 1, 1, 0, 0, 0]
    assert [still_frozen(1, step, 5) for step in range(5)] == [1, 1, 1, 0, 0]
    assert [still_frozen(0, step, 3) for step in range(3)] == [0, 0, 0]
    assert [still_frozen(3, step, 2) for step in range(2)] == [3, 1]


def test_more_frozen_layers_than_there_are_is_refused() -> None:
    check_frozen_layers(2, TREE)
    with pytest.raises(InvalidInput, match="frozen_layers: the policy has 2 layers"):
        check_frozen_layers(3, TREE)


def test_a_policy_without_hidden_layers_has_no_features() -> None:
    with pytest.raises(InvalidInput, match="method: layer_wise needs"):
        check_features("layer_wise", {"critic": {"table": X}})


@pytest.mark.parametrize(("name", "spec"), examples.first_cases())
def test_every_algorithms_networks_have_the_layers_that_freezing_knows(name: str, spec: str) -> None:
    _, params, _ = examples.make(name, spec)
    hidden = {n.rpartition(".")[0] for names in params.values() for n in names if n.startswith(("row", "mix", "hid"))}
    assert hidden_layers(params) == len(hidden)
    assert all(output_layers(params).values()), "every group has something that is always trained"
