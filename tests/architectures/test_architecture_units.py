"""Units of whole networks: as many as the map that an activation reads has rows, at every form."""

import math

import pytest
from network_cases import FORMS, batch, layers, started
from torch import Tensor, nn

from fathom.engine.units import count_units
from fathom.registry import Choice


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_every_activation_has_the_units_of_the_map_that_it_reads(form: Choice) -> None:
    shape, size = (3, 32, 32), 2
    network = started(form, shape)
    given: dict[nn.Module, int] = {}

    def keep(act: nn.Module, args: tuple[Tensor, ...], _: Tensor) -> None:
        given[act] = args[0].numel()

    read = {layer.act: layer for layer in reversed(layers(network)) if layer.act is not None}
    hooks = [act.register_forward_hook(keep) for act in read]
    images, _ = batch(shape, size)
    counted = {part.name: part for part in count_units(network, [images])}
    for hook in hooks:
        hook.remove()
    assert {*counted} == {layer.name for layer in read.values()}
    for act, layer in read.items():
        found = counted[layer.name]
        assert len(found.states) == layer.linear.weight.shape[0], layer.name
        assert found.num_samples * len(found.states) == given[act]
        positions = found.num_samples / size
        is_image = isinstance(layer.linear, nn.Conv2d)
        assert positions >= 1
        assert not is_image or math.isqrt(int(positions)) ** 2 == positions
