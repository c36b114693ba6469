"""The stacked engine: all runs of a cohort in one program, forward and backward written out.

There is no autograd graph. A step is: forward through the layers, gradient of the loss, backward
through the layers, each updated as it is passed. Nothing in a step reads a number back from the
device or branches on a tensor, and no operation mixes runs: a run's bits do not depend on its
siblings.

Shapes: R runs, B batch, I in, O out, K classes, L layers.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.data.splits import Part, PreparedData
from fathom.engine.base import EVALUATION_BATCH, Scores, TrainingSums
from fathom.engine.layers import Layer, Linear, Parameter, Pointwise, Segment, Sink, Workspace
from fathom.engine.probes import LayerView, relative_change
from fathom.engine.sinks import ApplyUpdate, CollectGradients, clip_by_norm
from fathom.engine.steps import batch_indices, coefficient_table, learning_rate
from fathom.initializers import INITIALIZERS
from fathom.losses import LOSSES, Loss
from fathom.models.mlp import initial_weights, layer_sizes
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice
from fathom.spec.grid import Run


def neighbours(choices: Sequence[Choice]) -> list[tuple[slice, Choice]]:
    """Cut a row of choices into slices of equal neighbours.

    >>> [(s.start, s.stop, c.name) for s, c in neighbours([Choice("a"), Choice("a"), Choice("b")])]
    [(0, 2, 'a'), (2, 3, 'b')]
    """
    pieces, start = [], 0
    for choice, group in groupby(choices):
        stop = start + len(list(group))
        pieces.append((slice(start, stop), choice))
        start = stop
    return pieces


class StackedEngine:
    """Train and measure MLPs that share data and layer shapes.

    Args:
        runs: At least 2, since a batched product over a single run takes another kernel with other
            bits; the caller pads. All share data, hidden widths, batch size and update program.
        data: The prepared data of these runs.
    """

    def __init__(self, runs: Sequence[Run], data: PreparedData) -> None:
        assert len(runs) >= 2, "a cohort is padded to two runs"
        self.runs, self.data = tuple(runs), data
        first = runs[0]
        self.dtype = getattr(torch, first.precision)
        self.rule = OPTIMIZERS.build(first.train.optimizer)
        self.space = Workspace(self.dtype)
        self.losses = [
            (part, LOSSES.build(choice)) for part, choice in neighbours([r.loss for r in runs])
        ]
        self.linears, self.layers = self._build_layers()
        self.update = ApplyUpdate(self.rule, self.space)
        self.limits = None
        if first.train.clip_norm is not None:
            limits = [run.train.clip_norm for run in runs]
            self.limits = torch.tensor(limits, dtype=self.dtype).view(-1, 1, 1)
        self.step = 0
        self._ratios = torch.full((len(runs), len(self.linears)), float("nan"), dtype=torch.float64)

    def _build_layers(self) -> tuple[list[Linear], list[Layer]]:
        hidden = self.runs[0].model.hidden
        sizes = layer_sizes(self.data.num_features, hidden, self.data.num_classes)
        drawn = [
            initial_weights(
                sizes,
                INITIALIZERS.build(run.model.init),
                study_seed=run.study_seed,
                replicate=run.seed,
            )
            for run in self.runs
        ]
        linears: list[Linear] = []
        layers: list[Layer] = []
        for index in range(len(sizes)):
            weight = torch.stack([d[index].weight.T for d in drawn]).to(self.dtype)
            bias = torch.stack([d[index].bias[None] for d in drawn]).to(self.dtype)
            linears.append(Linear(index, weight.contiguous(), bias, self.space))
            layers.append(linears[-1])
            if index < len(hidden):
                choices = [run.model.activation[index] for run in self.runs]
                segments = [Segment(s, ACTIVATIONS.build(c)) for s, c in neighbours(choices)]
                layers.append(Pointwise(index, segments, self.space))
        for parameter in self._parameters(linears):
            zeros = (torch.zeros_like(parameter.value) for _ in range(self.rule.num_slots))
            parameter.slots = tuple(zeros)
        return linears, layers

    @staticmethod
    def _parameters(linears: Sequence[Linear]) -> list[Parameter]:
        return [parameter for linear in linears for parameter in (linear.weight, linear.bias)]

    # The step ------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[R, B, K]` of a shared batch `[B, I]`."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Tensor, sink: Sink) -> None:
        """Pass dL/dlogits `[R, B, K]` down; the sink receives each layer's gradients."""
        passed: Tensor | None = grad
        for layer in reversed(self.layers):
            assert passed is not None
            passed = layer.backward(passed, sink)

    def train_step(self, x_BI: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        """Update every run on one batch; return its losses and hits before the update, `[R, B]`."""
        logits = self.forward(x_BI)
        loss, hits = self._losses(logits, target_B), logits.argmax(2) == target_B
        grad = self._loss_grad(logits, target_B)
        if self.limits is None:
            self.backward(grad, self.update)
        else:
            self._clipped_step(grad, self.limits)
        return loss, hits

    def _clipped_step(self, grad: Tensor, limits: Tensor) -> None:
        collected = CollectGradients(len(self.linears), self.space, keep_pre=False)
        self.backward(grad, collected)
        gradients = [g for pair in zip(collected.weight, collected.bias, strict=True) for g in pair]
        clip_by_norm(gradients, limits)
        for parameter, gradient in zip(self._parameters(self.linears), gradients, strict=True):
            self.rule.update(parameter.value, gradient, parameter.slots, self.update.coefficients)

    def _losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return _by_run(logits, self.losses, lambda loss, x: loss.value(x, target))

    def _loss_grad(self, logits: Tensor, target: Tensor) -> Tensor:
        return _by_run(logits, self.losses, lambda loss, x: loss.grad(x, target))

    # The epoch -----------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> TrainingSums:
        """Train one epoch; `epoch` counts from 1."""
        part, num_runs = self.data.train, len(self.runs)
        batches = batch_indices(self.runs[0], len(part.targets), epoch)
        table = coefficient_table(self.runs, epoch, len(batches), self.dtype)
        loss_sum = torch.zeros(num_runs, dtype=torch.float64)
        hit_sum = torch.zeros(num_runs, dtype=torch.float64)
        first_bad = torch.full((num_runs,), -1.0, dtype=torch.float64)
        for number, index in enumerate(batches):
            self.step += 1
            self.update.coefficients = {name: rows[number] for name, rows in table.items()}
            last = number == len(batches) - 1
            before = [linear.weight.value.clone() for linear in self.linears] if last else []
            loss, hits = self.train_step(self._inputs(part, index), part.targets[index])
            batch_loss = loss.double().sum(1)
            loss_sum += batch_loss
            hit_sum += hits.sum(1)
            fresh = (first_bad < 0) & ~torch.isfinite(batch_loss)
            first_bad.masked_fill_(fresh, self.step)
        pairs = zip(before, self.linears, strict=True)
        self._ratios = torch.stack([relative_change(w, lin.weight.value) for w, lin in pairs], 1)
        seen = sum(len(index) for index in batches)
        rates = [learning_rate(run, self.step - 1, len(batches)) for run in self.runs]
        lr = torch.tensor(rates, dtype=torch.float64)
        return TrainingSums(loss_sum / seen, hit_sum / seen, lr, first_bad)

    def _inputs(self, part: Part, index: Tensor) -> Tensor:
        return self.data.scale(part.inputs[index], self.dtype)

    # Measurement ---------------------------------------------------------------------------------

    def evaluate(self, part: Part) -> Scores:
        """Score every run on a part of the data."""
        loss_sum = torch.zeros(len(self.runs), dtype=torch.float64)
        hit_sum = torch.zeros(len(self.runs), dtype=torch.float64)
        for start in range(0, len(part.targets), EVALUATION_BATCH):
            piece = slice(start, start + EVALUATION_BATCH)
            target = part.targets[piece]
            logits = self.forward(self.data.scale(part.inputs[piece], self.dtype))
            loss_sum += self._losses(logits, target).double().sum(1)
            hit_sum += (logits.argmax(2) == target).sum(1)
        return Scores(loss_sum / len(part.targets), hit_sum / len(part.targets))

    def probe(self) -> list[LayerView]:
        """Measure every layer on the probe batch; parameters stay as they are."""
        size = self.runs[0].record.probe_size
        inputs, target = self.data.train.inputs[:size], self.data.train.targets[:size]
        logits = self.forward(self.data.scale(inputs, self.dtype))
        collected = CollectGradients(len(self.linears), self.space, keep_pre=True)
        # Taken before backward, which overwrites its gradients but not the activations.
        pointwise = [layer for layer in self.layers if isinstance(layer, Pointwise)]
        self.backward(self._loss_grad(logits, target), collected)
        return [
            LayerView(
                pre=logits if index == len(pointwise) else pointwise[index].pre,
                act=None if index == len(pointwise) else pointwise[index].act,
                slope=None if index == len(pointwise) else pointwise[index].slope(),
                saturation_slope=None
                if index == len(pointwise)
                else _saturation_slopes(pointwise[index]),
                grad_pre=collected.pre[index],
                grad_weight=collected.weight[index],
                weight=linear.weight.value,
            )
            for index, linear in enumerate(self.linears)
        ]

    def update_ratios(self) -> Tensor:
        """Return the relative size of the last weight step, `[R, L]`; NaN before training."""
        return self._ratios

    # State ---------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """Return copies of every run's parameters in `nn.Linear`'s layout behind the runs."""
        found = {}
        for linear in self.linears:
            name = f"layers.{linear.index}"
            found[f"{name}.weight"] = linear.weight.value.transpose(1, 2).contiguous()
            found[f"{name}.bias"] = linear.bias.value[:, 0].clone()
        return found

    def _state_tensors(self) -> dict[str, Tensor]:
        found = {}
        for number, parameter in enumerate(self._parameters(self.linears)):
            found[f"parameter.{number}"] = parameter.value
            found |= {f"parameter.{number}.{i}": s for i, s in enumerate(parameter.slots)}
        return found

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and optimizer state, and the step count."""
        state = {name: tensor.clone() for name, tensor in self._state_tensors().items()}
        return state | {"step": torch.tensor(self.step)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        for name, tensor in self._state_tensors().items():
            tensor.copy_(state[name])
        self.step = int(state["step"])


def _by_run(
    logits: Tensor,
    losses: Sequence[tuple[slice, Loss]],
    function: Callable[[Loss, Tensor], Tensor],
) -> Tensor:
    """Apply each loss to its own runs' logits and put the pieces together again."""
    if len(losses) == 1:
        return function(losses[0][1], logits)
    return torch.cat([function(loss, logits[part]) for part, loss in losses])


def _saturation_slopes(layer: Pointwise) -> Tensor:
    """Return each run's slope for saturation, `[R]`."""
    slopes = torch.empty(layer.pre.shape[0], dtype=torch.float64)
    for segment in layer.segments:
        slopes[segment.runs] = segment.activation.saturation_slope
    return slopes
