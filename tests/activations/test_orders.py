"""Activations that put a layer's units in an order: the order itself, and where there is one."""

import math

import pytest
import torch

from fathom.activations import ACTIVATIONS, Activation
from fathom.activations.base import unit_order
from fathom.registry import Choice

ORDERED = ["sort", "permute"]


def built(name: str) -> Activation:
    return ACTIVATIONS.build(Choice(name))


def test_exactly_two_built_in_activations_have_an_order() -> None:
    orders = {name: built(name).order for name in ACTIVATIONS.names()}
    assert {name: order for name, order in orders.items() if order} == {
        "sort": "own",
        "permute": "input",
    }


def test_the_order_by_hand() -> None:
    """Two samples of three units, a column each; the input decides otherwise than h."""
    h = torch.tensor([[3.0, -1.0], [1.0, -2.0], [2.0, 5.0]])
    x = torch.tensor([[0.0, 9.0], [-4.0, 8.0], [7.0, 1.0]])
    assert unit_order("own", h, x).T.tolist() == [[1, 2, 0], [1, 0, 2]]
    assert unit_order("input", h, x).T.tolist() == [[1, 0, 2], [2, 1, 0]]


def test_equal_numbers_keep_their_places_and_nan_comes_last() -> None:
    h = torch.tensor([[0.0], [math.nan], [-0.0], [-math.inf], [0.0], [math.inf]])
    assert unit_order("own", h, h).flatten().tolist() == [3, 0, 2, 4, 5, 1]


def test_many_equal_numbers_keep_their_places() -> None:
    """An unstable method shows its face only beyond a few dozen numbers."""
    h = (torch.arange(3000) % 2).float()[:, None]
    expected = [*range(0, 3000, 2), *range(1, 3000, 2)]
    assert unit_order("own", h, h).flatten().tolist() == expected


def test_a_shared_input_orders_every_run() -> None:
    x, h = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.zeros(3, 2, 2)
    order = unit_order("input", h, x)
    assert order.shape == h.shape
    assert order.tolist() == [[[1, 0], [0, 1]]] * 3


@pytest.mark.parametrize("name", ORDERED)
def test_one_number_stays_as_it_is(name: str) -> None:
    h, phi = torch.linspace(-3, 3, 7), built(name)
    assert torch.equal(phi.value(h), h)
    assert torch.equal(phi.slope(h), torch.ones(7))
    assert math.isinf(phi.saturation_slope), "it does not saturate"


def test_inputs_order_as_many_units_only() -> None:
    assert built("permute").between(10, 10).order == "input"
    assert built("permute").between(2, 10).order is None
    assert built("sort").between(2, 10).order == "own"
    assert built("relu").between(2, 10).order is None
