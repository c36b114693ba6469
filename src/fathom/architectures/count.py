"""What a network costs, counted without computing it.

Shapes: C channels, H height, W width.
"""

import functools
import math
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.architectures.base import Act, Architecture, ImageShape, torch_seeded
from fathom.registry import Choice

_BATCH: Final = 2  # batch_norm refuses a single sample
_WORD: Final = 4  # bytes of the float32 numbers that are counted with


class Counts(NamedTuple):
    """What a network is made of and what one image costs.

    Attributes:
        parameters: Learned numbers.
        flops: Floating-point operations of an image's forward pass in its linear maps and
            attention; a multiply-add counts as two. Normalisations, activations and poolings are
            left out.
        activation_numbers: What an image's forward pass keeps for backward, the image included, in
            numbers of 4 bytes (a pooling keeps indices of 8). An upper bound for attention, whose
            weights are counted: computed in one piece they are never kept.
        num_layers: Measured layers.
    """

    parameters: int
    flops: int
    activation_numbers: int
    num_layers: int


@functools.cache
def count(architecture: Architecture | Choice, image_shape: ImageShape, num_classes: int) -> Counts:
    """Count a network's parameters, and what one image takes to pass it.

    Nothing is computed: tensors have shapes and no memory (torch's device `meta`). A user's own
    module may look at numbers, so that it does pass images. All activations
    keep their argument alone, see `Act`. The first count of a process makes torch import a second's
    worth of modules; another takes a fraction of a second, and one that was made before no time.

    Args:
        architecture: What to build, or how a study writes it. Equal choices are counted once.
        image_shape: Channels, height and width.
        num_classes: Number of logits.

    Raises:
        ValueError: If images of this shape do not fit, or the architecture builds no network of its
            own, as `mlp`.
    """
    if isinstance(architecture, Choice):
        architecture = ARCHITECTURES.build(architecture)
    if architecture.build is None:
        raise ValueError(f"{architecture.name} is no image network; its layers are settings")
    relu = ACTIVATIONS.build(Choice("relu"))
    with torch_seeded(0):
        with torch.device("cpu" if architecture.own else "meta"):
            network = architecture.build(image_shape, num_classes, lambda: Act(relu))
            images = torch.zeros(_BATCH, *image_shape)
        with torch.enable_grad():  # whoever asks may compute without, and nothing would be kept
            flops, kept_bytes = _pass(network, images)
    return Counts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        flops=flops // _BATCH,
        activation_numbers=math.ceil(kept_bytes / (_WORD * _BATCH)),
        num_layers=len(network.measured()),
    )


def _pass(network: nn.Module, images: Tensor) -> tuple[int, int]:
    """Return the operations of a forward pass, and the bytes that it keeps beside the network."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # what several maps read is kept once
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda kept: kept):
        network(images)
    for own in (*network.parameters(), *network.buffers()):
        kept.pop(own.untyped_storage()._cdata, None)
    return counter.get_total_flops(), sum(storage.nbytes() for storage in kept.values())
