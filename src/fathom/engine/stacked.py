"""The stacked engine: all runs of a cohort in one program, forward and backward written out.

There is no autograd graph. A step is: forward through the layers, gradient of the loss, backward
through the layers, each updated as it is passed. Nothing in a step reads a number back from the
device or branches on a tensor, and no operation mixes runs: a run's bits do not depend on its
siblings.

Shapes: R runs, B batch, I in, O out, K classes, L layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.data.splits import Part, PreparedData
from fathom.engine.base import Scores, TrainingSums
from fathom.engine.epoch import EpochTables, Repeater
from fathom.engine.layers import Affine, Parameter, Pointwise, Segment, Workspace
from fathom.engine.norms import Norm
from fathom.engine.precision import dtype_of
from fathom.engine.probes import LayerView, relative_change
from fathom.engine.sinks import ApplyUpdate, CollectGradients, Sink, clip_by_norm
from fathom.engine.skips import Skip
from fathom.engine.steps import TrainingImages, batch_indices, coefficient_table, learning_rate
from fathom.losses import LOSSES
from fathom.models.build import EVALUATION_BATCH
from fathom.models.mlp import has_skip, initial_weights
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice
from fathom.spec.grid import Run

CPU = torch.device("cpu")


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
        device: Where to compute; the data are brought there once.
    """

    def __init__(self, runs: Sequence[Run], data: PreparedData, device: torch.device = CPU) -> None:
        assert len(runs) >= 2, "a cohort is padded to two runs"
        self.runs, self.data, self.device = tuple(runs), data, device
        first = runs[0]
        self.dtype = dtype_of(first.precision)
        self.rule = OPTIMIZERS.build(first.train.optimizer)
        largest = max(first.train.batch_size, first.record.probe_size, EVALUATION_BATCH)
        self.space = Workspace(self.dtype, largest, device)
        self.losses = [
            (part, LOSSES.build(choice)) for part, choice in neighbours([r.loss for r in runs])
        ]
        self.affines = self._draw_parameters()
        self.pointwise = [
            Pointwise(index, self._segments(index), self.space)
            for index in range(first.model.depth)
        ]
        self.norms = [self._norm(index) for index in range(first.model.depth)]
        self.skips = [self._skip(index) for index in range(first.model.depth)]
        self.hidden = tuple(
            zip(self.affines[:-1], self.norms, self.pointwise, self.skips, strict=True)
        )
        has_norms = first.model.norm != "none"
        self.update = ApplyUpdate(self.rule, self.space, has_norms=has_norms)
        self.limits = None
        if first.train.clip_norm is not None:
            limits = [run.train.clip_norm for run in runs]
            self.limits = torch.tensor(limits, dtype=self.dtype, device=device).view(-1, 1, 1)
        self.step = 0
        self._parts: list[tuple[Part, Part]] = []  # as given, and on the device
        self._tables = EpochTables(len(runs), device)
        self._repeater = Repeater(device)
        self._images = TrainingImages(data)
        self._ratios = torch.full((len(runs), len(self.affines)), float("nan"), dtype=torch.float64)

    def _draw_parameters(self) -> list[Affine]:
        data = self.data
        drawn = [initial_weights(run, data.num_features, data.num_classes) for run in self.runs]
        affines = []
        for index in range(len(drawn[0])):
            weight = torch.stack([d[index].weight.T for d in drawn])
            bias = torch.stack([d[index].bias for d in drawn])
            value = torch.cat([weight, bias[:, None]], 1).to(self.device, self.dtype)
            parameter = Parameter(value, self.rule.num_slots)
            affines.append(Affine(index, parameter, self.space))
        return affines

    def _segments(self, index: int) -> list[Segment]:
        choices, affine = [run.model.activation[index] for run in self.runs], self.affines[index]
        return [
            Segment(part, ACTIVATIONS.build(choice).between(affine.fan_in, affine.fan_out))
            for part, choice in neighbours(choices)
        ]

    def _norm(self, index: int) -> Norm | None:
        """Start a layer's normalisation: gamma 1, beta 0."""
        kind = self.runs[0].model.norm
        if kind == "none":
            return None
        num_runs, num_units = len(self.runs), self.affines[index].fan_out
        value = torch.zeros(num_runs, 2, num_units, dtype=self.dtype, device=self.device)
        value[:, 0] = 1
        return Norm(index, kind, Parameter(value, self.rule.num_slots), self.space)

    def _skip(self, index: int) -> Skip | None:
        affine = self.affines[index]
        exists = has_skip(self.runs[0].model.skip, affine.fan_in, affine.fan_out)
        return Skip(index, self.space) if exists else None

    # The step ------------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        pre: list[Tensor] | None = None,
        *,
        training: bool = False,
        remember: bool = True,
    ) -> Tensor:
        """Return logits `[R, B, K]` of a shared augmented batch `[I+1, B]`.

        Args:
            x: The batch; its last row is ones.
            pre: Gets a copy of each hidden layer's pre-activations `[R, O, B]`.
            training: Whether batches are normalised by their own statistics.
            remember: Whether running statistics follow these.
        """
        num_runs, batch = len(self.runs), x.shape[1]
        left = x
        for affine, norm, pointwise, skip in self.hidden:
            output = pointwise.buffer(num_runs, affine.fan_out, batch)
            h = affine.forward(left, output.units)
            if pre is not None:
                pre.append(h.clone())
            if norm is not None:
                norm.forward(h, training=training, remember=remember)
            pointwise.forward(left)
            left = output.whole if skip is None else skip.forward(left, output.units)
        logits = self.space.take_units("logits", num_runs, self.data.num_classes, batch)
        # A view, so that what is done per class runs along contiguous samples.
        return self.affines[-1].forward(left, logits).transpose(1, 2)

    def backward(self, grad: Tensor, sink: Sink) -> None:
        """Pass dL/dlogits `[R, B, K]` down; the sink receives each layer's gradients."""
        delta = self.space.take_units("delta", len(self.runs), grad.shape[2], grad.shape[1])
        passed = self.affines[-1].backward(delta.copy_(grad.transpose(1, 2)), sink)
        for affine, norm, pointwise, skip in reversed(self.hidden):
            assert passed is not None
            around = None if skip is None else skip.keep(passed)
            delta = pointwise.backward(passed)
            if norm is not None:
                delta = norm.backward(delta, sink)
            passed = affine.backward(delta, sink)
            if around is not None and passed is not None:
                passed.add_(around)

    def train_step(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Update every run on one batch, `[I+1, B]` and `[B]`.

        Returns:
            Losses and hits before the update, `[R, B]`.
        """
        logits = self.forward(x, training=True)
        hits = _hits(logits, target)
        loss, grad = self._loss_and_grad(logits, target)
        if self.limits is not None:
            self._clipped_step(grad, self.limits)
            return loss, hits
        if self.update.scale is not None:
            grad.mul_(self.update.coefficients[self.update.scale])
        self.backward(grad, self.update)
        return loss, hits

    def _clipped_step(self, grad: Tensor, limits: Tensor) -> None:
        collected = CollectGradients(len(self.affines), self.space, keep_pre=False)
        self.backward(grad, collected)
        norms = [norm for norm in self.norms if norm is not None]
        parameters = [affine.parameter for affine in self.affines]
        parameters += [norm.parameter for norm in norms]
        gradients = [*collected.parameters, *(collected.norms[norm.index] for norm in norms)]
        clip_by_norm(gradients, limits)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            self.rule.update(parameter.value, gradient, parameter.slots, self.update.coefficients)

    def _loss_and_grad(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Apply each loss to its own runs' logits and put the pieces together again."""
        pieces = [loss.value_and_grad(logits[part], target) for part, loss in self.losses]
        if len(pieces) == 1:
            return pieces[0]
        values, grads = zip(*pieces, strict=True)
        return torch.cat(values), torch.cat(grads)

    # The epoch -----------------------------------------------------------------------------------

    @torch.inference_mode()
    def train_epoch(self, epoch: int) -> TrainingSums:
        """Train one epoch; `epoch` counts from 1."""
        self._images.begin(epoch)
        batches = batch_indices(self.runs[0], len(self.data.train.targets), epoch)
        num_steps, tables = len(batches), self._tables
        coefficients = coefficient_table(self.runs, epoch, num_steps, self.dtype)
        tables.begin(batches, coefficients, steps_before=self.step)
        batch_size = self.runs[0].train.batch_size
        self._repeater.repeat(lambda: self._next_step(batch_size), num_steps - 1)
        before = [affine.parameter.weight.clone() for affine in self.affines]
        self._next_step(len(batches[-1]))
        self.step += num_steps
        pairs = zip(before, self.affines, strict=True)
        ratios = [relative_change(w, a.parameter.weight) for w, a in pairs]
        self._ratios = torch.stack(ratios, 1).cpu()
        seen = sum(len(index) for index in batches)
        rates = [learning_rate(run, self.step - 1, num_steps) for run in self.runs]
        return TrainingSums(
            loss=(tables.loss_sum / seen).cpu(),
            accuracy=(tables.hit_sum / seen).cpu(),
            lr=torch.tensor(rates, dtype=torch.float64),
            first_bad_step=tables.first_bad.cpu().clone(),
        )

    def _next_step(self, batch_size: int) -> None:
        """Take the next step of the epoch; nothing is read back from the device."""
        samples, self.update.coefficients = self._tables.current(batch_size)
        self._tables.note(*self.train_step(*self.batch(self.data.train, samples)))

    def batch(self, part: Part, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return training samples as a batch `[I+1, B]` with a row of ones, and targets `[B]`."""
        here = self._here(part)
        samples = self._images.batch(here.inputs, index)
        return self._augmented(samples), torch.index_select(here.targets, 0, index)

    def _here(self, part: Part) -> Part:
        """Return a part of the data on the engine's device."""
        if self.device.type == "cpu":
            return part
        for given, here in self._parts:
            if given is part:
                return here
        here = Part(inputs=part.inputs.to(self.device), targets=part.targets.to(self.device))
        self._parts.append((part, here))
        return here

    def _augmented(self, samples: Tensor) -> Tensor:
        batch, num_features = samples.shape
        x = self.space.take_augmented("input", 1, num_features, batch)
        self.data.scale.write_columns(samples, x.units[0])
        return x.whole[0]

    # Measurement ---------------------------------------------------------------------------------

    @torch.inference_mode()
    def evaluate(self, part: Part) -> Scores:
        """Score every run on a part of the data."""
        here, num_samples = self._here(part), len(part.targets)
        loss_sum = torch.zeros(len(self.runs), dtype=torch.float64, device=self.device)
        hit_sum = torch.zeros_like(loss_sum)
        for start in range(0, num_samples, EVALUATION_BATCH):
            piece = slice(start, start + EVALUATION_BATCH)
            target = here.targets[piece]
            logits = self.forward(self._augmented(here.inputs[piece]))
            # With its gradient, which costs next to nothing: torch's softmax alone costs more.
            loss_sum += self._loss_and_grad(logits, target)[0].double().sum(1)
            hit_sum += _hits(logits, target).sum(1)
        return Scores((loss_sum / num_samples).cpu(), (hit_sum / num_samples).cpu())

    @torch.inference_mode()
    def probe(self) -> Iterator[LayerView]:
        """Measure every layer on the probe batch, one after the other, without an update."""
        size = self.runs[0].record.probe_size
        here = self._here(self.data.train)
        inputs, target = here.inputs[:size], here.targets[:size]
        pre: list[Tensor] = []
        logits = self.forward(self._augmented(inputs), pre, training=True, remember=False)
        collected = CollectGradients(len(self.affines), self.space, keep_pre=True)
        self.backward(self._loss_and_grad(logits, target)[1], collected)
        for index in range(len(pre)):
            yield self._hidden_view(index, pre[index], collected)
        yield LayerView(
            pre=logits.transpose(1, 2),
            act=None,
            slope=None,
            saturation_slope=None,
            grad_pre=collected.pre[-1],
            grad_weight=collected.parameters[-1][:, :-1],
            weight=self.affines[-1].parameter.weight,
        )

    def _hidden_view(self, index: int, pre: Tensor, collected: CollectGradients) -> LayerView:
        layer, norm = self.pointwise[index], self.norms[index]
        return LayerView(
            pre=pre,
            act=layer.buffer(*pre.shape).units,
            slope=layer.slope(pre if norm is None else norm.output()),
            saturation_slope=_saturation_slopes(layer.segments, len(self.runs)),
            grad_pre=collected.pre[index],
            grad_weight=collected.parameters[index][:, :-1],
            weight=self.affines[index].parameter.weight,
        )

    def update_ratios(self) -> Tensor:
        """Return the relative size of the last weight step, `[R, L]`; NaN before training."""
        return self._ratios

    # State ---------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """Return copies of every run's parameters in `nn.Linear`'s layout behind the runs."""
        found = {}
        for affine in self.affines:
            name = f"layers.{affine.index}"
            found[f"{name}.weight"] = affine.parameter.weight.transpose(1, 2).contiguous().cpu()
            found[f"{name}.bias"] = affine.parameter.bias.clone().cpu()
        for norm in self.norms:
            if norm is not None:
                found |= norm.weights(f"norms.{norm.index}")
        return found

    def _state_tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for affine in self.affines:
            found |= affine.parameter.state(f"parameter.{affine.index}")
        for norm in self.norms:
            if norm is not None:
                found |= norm.state(f"norm.{norm.index}")
        return found

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and optimizer state, and the step count."""
        state = {
            name: tensor.to("cpu", copy=True) for name, tensor in self._state_tensors().items()
        }
        return state | {"step": torch.tensor(self.step)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        for name, tensor in self._state_tensors().items():
            tensor.copy_(state[name])
        self.step = int(state["step"])


def _hits(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    """Return where the largest logit is the label's, `[R, B]`; of equal ones the first counts."""
    return logits_RBK.contiguous().argmax(2) == target_B  # argmax is slow along a strided dimension


def _saturation_slopes(segments: Sequence[Segment], num_runs: int) -> Tensor:
    """Return each run's slope for saturation, `[R]`."""
    slopes = torch.empty(num_runs, dtype=torch.float64)
    for segment in segments:
        slopes[segment.runs] = segment.activation.saturation_slope
    return slopes
