"""One run through the NumPy code that is written by hand.

Nothing is computed here: initial weights and the order of batches come from where every engine has
them from, each step is `reference.train.train_batch`, and what is measured is what the layers kept.

Shapes: B batch, I in, O out.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.data.splits import Part, PreparedData
from fathom.engine.probes import relative_change
from fathom.engine.steps import TrainingImages, batch_indices
from fathom.errors import FathomError
from fathom.losses import LOSSES
from fathom.models.build import EVALUATION_BATCH
from fathom.models.mlp import initial_weights
from fathom.optimizers import OPTIMIZERS
from fathom.reference import activations, losses, network, optimizers, schedules
from fathom.reference.arrays import Array
from fathom.reference.layers import (
    BatchNorm,
    Elementwise,
    Linear,
    backward,
    forward,
    leaves,
    remembering_nothing,
)
from fathom.reference.train import Samples, train_batch
from fathom.registry import Choice, Registry
from fathom.schedules import SCHEDULES
from fathom.spec.grid import Run

T = TypeVar("T")


def find_by_hand(
    registry: Registry[Any], written: Mapping[str, T], choice: Choice
) -> tuple[T, dict[str, Any]]:
    """Return what is written by hand for a choice, and the choice's parameters.

    Raises:
        FathomError: If nothing is.
    """
    name = registry.canonical(choice.name)
    if name not in written:
        raise FathomError(
            f"engine 'reference' has no {registry.kind} '{choice.name[:80]}' written by hand; use "
            f"engine: single, or one of {', '.join(written)}"
        )
    return written[name], dict(choice.params)


def loss_by_hand(choice: Choice) -> losses.Loss:
    """Return the loss of a choice.

    Raises:
        FathomError: If it is not written by hand.
    """
    function, parameters = find_by_hand(LOSSES, losses.LOSSES, choice)
    return partial(function, **parameters)


def activation_by_hand(choice: Choice) -> activations.Activation:
    """Return the activation of a choice, with its derivative.

    Raises:
        FathomError: If it is not written by hand.
    """
    _, parameters = find_by_hand(ACTIVATIONS, activations.ACTIVATIONS, choice)
    return activations.activation(ACTIVATIONS.canonical(choice.name), **parameters)


class LayerRecord(NamedTuple):
    """What one layer of one network showed on the probe batch; see `LayerView`."""

    pre_BO: Array
    act_BO: Array | None
    slope_BO: Array | None
    saturation_slope: float | None
    grad_pre_BO: Array
    grad_weight_IO: Array
    weight_IO: Array


class _Units(NamedTuple):
    """What a `LayerRecord` says of a layer's activation."""

    act_BO: Array | None
    slope_BO: Array | None
    saturation_slope: float | None


class Trainer:
    """One run: its layers, its loss, its rule, and what the rule remembers."""

    def __init__(self, run: Run, data: PreparedData) -> None:
        if run.precision != "float64":
            raise FathomError(
                f"precision '{run.precision}': engine 'reference' computes in float64; set "
                "precision: float64"
            )
        self.run, self.data = run, data
        phis = [activation_by_hand(choice) for choice in run.model.activation]
        self.loss = loss_by_hand(run.loss)
        self.images = TrainingImages(data)
        rule, numbers = find_by_hand(OPTIMIZERS, optimizers.OPTIMIZERS, run.train.optimizer)
        self.update = partial(rule, **numbers)
        plan, numbers = find_by_hand(SCHEDULES, schedules.SCHEDULES, run.train.schedule)
        self.schedule = partial(plan, **numbers)
        drawn = initial_weights(run, data.num_features, data.num_classes)
        weights = [network.Weights(w.T.numpy(), b.numpy()) for w, b in drawn]
        self.layers = network.multilayer_perceptron(
            weights, phis, norm=run.model.norm, skip=run.model.skip == "residual"
        )
        self.linears = [x for x in leaves(self.layers) if isinstance(x, Linear)]
        self.hidden = [x for x in leaves(self.layers) if isinstance(x, Elementwise)]
        self.slots: list[optimizers.State] = [{} for _ in self.parameters()]
        self.step = 0
        self.ratios = torch.full((len(self.linears),), float("nan"), dtype=torch.float64)

    def parameters(self) -> list[Array]:
        """Return the parameters themselves, in the order of `slots`."""
        return [array for layer in leaves(self.layers) for array in layer.parameters.values()]

    def parameter_names(self) -> list[str]:
        """Return torch's names of the parameters, in the order of `slots`."""
        trained = [layer for layer in leaves(self.layers) if layer.parameters]
        kinds = ["layers" if isinstance(layer, Linear) else "norms" for layer in trained]
        return [
            f"{kind}.{kinds[:place].count(kind)}.{name}"
            for place, (kind, layer) in enumerate(zip(kinds, trained, strict=True))
            for name in layer.parameters
        ]

    def running(self) -> dict[str, Array]:
        """Return the running statistics of batch norms themselves, under torch's names."""
        norms = [layer for layer in leaves(self.layers) if isinstance(layer, BatchNorm)]
        found = {}
        for index, norm in enumerate(norms):
            found[f"norms.{index}.running_mean"] = norm.running_mean_N
            found[f"norms.{index}.running_var"] = norm.running_variance_N
        return found

    def weights(self) -> dict[str, Array]:
        """Return what evaluates the network, itself and no copy, in torch's names and layout."""
        arrays = [array.T for array in self.parameters()]
        return dict(zip(self.parameter_names(), arrays, strict=True)) | self.running()

    def samples(self, part: Part, index: Tensor | slice) -> Samples:
        """Return scaled samples `[B, I]` with their classes `[B]`."""
        inputs = self.data.scale(part.inputs[index], torch.float64)
        return Samples(inputs.numpy(), part.targets[index].numpy())

    def descend(self, batch: Samples, num_steps: int) -> tuple[float, float, float]:
        """Take one step on a batch of an epoch of `num_steps`.

        Returns:
            Sum of the losses and number of hits before the step, and its rate.
        """
        lr = self.run.train.lr * self.schedule(self.step, num_steps, self.run.train.epochs)
        update, limit = partial(self.update, lr=lr), self.run.train.clip_norm
        value_B, hit_B = train_batch(self.layers, batch, self.slots, self.loss, update, limit)
        self.step += 1
        return float(value_B.sum()), float(hit_B.sum()), lr

    def train_epoch(self, epoch: int) -> tuple[float, float, float, int]:
        """Train one epoch; return mean loss, share of hits, last rate, first bad step or -1."""
        self.images.begin(epoch)
        batches = batch_indices(self.run, len(self.data.train.targets), epoch)
        loss_sum, hit_sum, first_bad = 0.0, 0.0, -1
        for number, index in enumerate(batches, 1):
            if number == len(batches):
                before = [linear.parameters["weight"].copy() for linear in self.linears]
            inputs = self.images.batch(self.data.train.inputs, index)
            batch = self.samples(Part(inputs, self.data.train.targets[index]), slice(None))
            batch_loss, batch_hits, lr = self.descend(batch, len(batches))
            loss_sum, hit_sum = loss_sum + batch_loss, hit_sum + batch_hits
            if first_bad < 0 and not np.isfinite(batch_loss):
                first_bad = self.step
        pairs = [(old, x.parameters["weight"]) for old, x in zip(before, self.linears, strict=True)]
        self.ratios = torch.cat([relative_change(*map(_alone, pair)) for pair in pairs])
        seen = sum(len(index) for index in batches)
        return loss_sum / seen, hit_sum / seen, lr, first_bad

    def evaluate(self, part: Part) -> tuple[float, float]:
        """Return mean loss and share of hits on a part of the data."""
        loss_sum, hit_sum, num_samples = 0.0, 0, len(part.targets)
        for start in range(0, num_samples, EVALUATION_BATCH):
            batch = self.samples(part, slice(start, start + EVALUATION_BATCH))
            logits_BK = forward(self.layers, batch.inputs)
            loss_sum += float(self.loss(logits_BK, batch.target).value.sum())
            hit_sum += int((logits_BK.argmax(1) == batch.target).sum())
        return loss_sum / num_samples, hit_sum / num_samples

    def probe(self) -> list[LayerRecord]:
        """Measure every layer on the probe batch, without an update."""
        batch = self.samples(self.data.train, slice(self.run.record.probe_size))
        with remembering_nothing(self.layers):
            logits_BK = forward(self.layers, batch.inputs, training=True)
        backward(self.layers, self.loss(logits_BK, batch.target).grad)
        units = [self._units(index) for index in range(len(self.hidden))]
        units.append(_Units(None, None, None))  # the output layer has no activation
        return [
            LayerRecord(
                pre_BO=linear.pre_BO,
                **at_units._asdict(),
                grad_pre_BO=linear.grad_pre_BO,
                grad_weight_IO=linear.gradients["weight"],
                weight_IO=linear.parameters["weight"],
            )
            for linear, at_units in zip(self.linears, units, strict=True)
        ]

    def _units(self, index: int) -> _Units:
        hidden = self.hidden[index]
        record = ACTIVATIONS.build(self.run.model.activation[index])
        return _Units(
            act_BO=hidden.phi.value(hidden.argument_BI),
            slope_BO=hidden.phi.slope(hidden.argument_BI),
            saturation_slope=record.saturation_slope,
        )

    def state(self) -> dict[str, Tensor]:
        """Return copies of all arrays and of what the rule remembers, and the step count."""
        found = {"step": torch.tensor(self.step)}
        found |= {f"net.{name}": torch.tensor(array) for name, array in self.weights().items()}
        for index, slots in enumerate(self.slots):
            found |= {f"slot.{index}.{name}": torch.tensor(slot) for name, slot in slots.items()}
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.step = int(state["step"])
        for name, array in self.weights().items():
            array[...] = state[f"net.{name}"].numpy()
        self.slots = [{} for _ in self.slots]
        for key, tensor in state.items():
            if key.startswith("slot."):
                _, index, name = key.split(".")
                self.slots[int(index)][name] = np.array(tensor.numpy())


def _alone(array: Array) -> Tensor:
    return torch.from_numpy(array)[None]
