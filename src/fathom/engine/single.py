"""The single engine: one ordinary module after another, torch's autograd, torch's optimizers.

This is the readable truth that the stacked engine is measured against: whoever wants to know what a
number means reads it here. It takes any module; it is not meant to be fast. An activation's own
derivative is its record's slope here too, since a user may have written one that differs from
autograd on purpose; that every built-in slope equals autograd is the activations' own test.

Data lie in the CPU's memory, where images are changed by chance, and go to the device batch by
batch; what others see of an engine lies on the CPU. Not covered: bits on a GPU, where convolutions
may add in another order each time.

With precision `bf16` an image network's steps, and the probe as one of them, are torch's mixed
precision: layers and activations compute in bfloat16 from weights that are kept in float32.
Evaluation keeps float32 between the layers, as does the network that is kept.

Shapes: R runs (trained one by one), B batch, I in, O out, L layers.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from fathom.architectures.base import torch_seeded
from fathom.data.splits import Part, PreparedData
from fathom.engine.base import Scores, TrainingSums
from fathom.engine.hooks import measure_network
from fathom.engine.precision import dtype_of
from fathom.engine.probes import LayerView, relative_change
from fathom.engine.steps import TrainingImages, batch_indices, learning_rate
from fathom.losses import LOSSES
from fathom.models.build import evaluation_batch, initial_network, is_mlp
from fathom.optimizers import OPTIMIZERS
from fathom.seeds import derive_seed
from fathom.spec.grid import Run

CPU: Final = torch.device("cpu")


class Trainer:
    """One run: its network, its optimizer, its loss."""

    def __init__(self, run: Run, data: PreparedData, device: torch.device = CPU) -> None:
        self.run, self.data, self.device = run, data, device
        self.net = initial_network(
            run, data.sample_shape, data.num_classes, dtype_of(run.precision)
        ).to(device)
        self.is_mixed = run.precision == "bf16" and not is_mlp(run.model)
        self.layers = self.net.measured()
        rule = OPTIMIZERS.build(run.train.optimizer)
        self.optimizer = rule.torch(self.net.parameters(), run.train.lr)
        self.loss = LOSSES.build(run.loss)
        self.images = TrainingImages(data)
        self.step = 0
        self.ratios = torch.full((len(self.layers),), float("nan"), dtype=torch.float64)

    def inputs(self, part: Part, index: Tensor | slice) -> Tensor:
        """Return scaled samples `[B, I]`."""
        return self.scaled(part.inputs[index])

    def scaled(self, inputs: Tensor) -> Tensor:
        """Return samples `[B, I]` as the network takes them, on the device."""
        return self.data.scale(inputs.to(self.device), dtype_of(self.run.precision))

    def losses_and_hits(
        self, x: Tensor, target: Tensor, *, is_mixed: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return loss and hit of each sample, `[B]`; the loss can be differentiated.

        The hit of a sample with several labels is the share of classes that were told right.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_mixed):
            logits = self.net(x)
        logits, target = logits.to(dtype_of(self.run.precision)), target.to(self.device)
        # A loss record speaks of R runs; one network is a stack of one.
        losses = self.loss.value(logits[None], target)[0]
        if target.dim() == 2:
            return losses, ((logits > 0) == (target > 0)).double().mean(1)
        return losses, logits.argmax(1) == target

    def train_epoch(self, epoch: int) -> tuple[float, float, float, int]:
        """Train one epoch; return mean loss, share of hits, last rate, first bad step or -1."""
        self.net.train()
        run, train = self.run, self.data.train
        batches = batch_indices(run, len(train.targets), epoch)
        self.images.begin(epoch)
        loss_sum, hit_sum, first_bad = 0.0, 0.0, -1
        with torch_seeded(derive_seed(run.study_seed, "dropout", run.seed, epoch)):
            for index in batches:
                lr = learning_rate(run, self.step, len(batches))
                self.step += 1
                before = self._weights() if index is batches[-1] else []
                images = self.images.batch(train.inputs, index)
                x, target = self.scaled(images), train.targets[index]
                losses, hits = self.losses_and_hits(x, target, is_mixed=self.is_mixed)
                self.descend(losses.mean(), lr)
                batch_loss = losses.detach().double().sum()
                loss_sum, hit_sum = loss_sum + float(batch_loss), hit_sum + float(hits.sum())
                if first_bad < 0 and not torch.isfinite(batch_loss):
                    first_bad = self.step
        pairs = zip(before, self._weights(), strict=True)
        ratios = [relative_change(old[None], new[None]) for old, new in pairs]
        self.ratios = torch.cat(ratios).cpu()
        seen = sum(len(index) for index in batches)
        return loss_sum / seen, hit_sum / seen, lr, first_bad

    def _weights(self) -> list[Tensor]:
        """Return copies of the measured layers' weights."""
        return [layer.linear.weight.detach().clone() for layer in self.layers]

    def descend(self, loss: Tensor, lr: float) -> None:
        """Take one step down the gradient of a scalar loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.run.train.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.run.train.clip_norm)
        self.optimizer.step()

    def evaluate(self, part: Part) -> tuple[float, float]:
        """Return mean loss and share of hits on a part of the data."""
        self.net.eval()
        loss_sum, hit_sum = 0.0, 0.0
        with torch.no_grad():
            size = evaluation_batch(self.run.model, self.data.sample_shape, self.data.num_classes)
            for start in range(0, len(part.targets), size):
                piece = slice(start, start + size)
                losses, hits = self.losses_and_hits(self.inputs(part, piece), part.targets[piece])
                loss_sum += float(losses.double().sum())
                hit_sum += float(hits.sum())
        return loss_sum / len(part.targets), hit_sum / len(part.targets)

    def probe(self) -> list[LayerView]:
        """Measure every layer on the probe batch, as a stack of one."""
        size = self.run.record.probe_size
        x, target = self.inputs(self.data.train, slice(size)), self.data.train.targets[:size]

        def loss() -> Tensor:
            return self.losses_and_hits(x, target, is_mixed=self.is_mixed)[0].mean()

        return measure_network(self.net, self.layers, loss)


class SingleEngine:
    """Train and measure runs one after another.

    Args:
        runs: Runs on the same data.
        data: The prepared data of these runs.
        device: Where to compute.
    """

    def __init__(self, runs: Sequence[Run], data: PreparedData, device: torch.device = CPU) -> None:
        self.trainers = [Trainer(run, data, device) for run in runs]

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self.trainers[0].step

    def train_epoch(self, epoch: int) -> TrainingSums:
        """Train one epoch; `epoch` counts from 1."""
        rows = [trainer.train_epoch(epoch) for trainer in self.trainers]
        return TrainingSums(*torch.tensor(rows, dtype=torch.float64).T)

    def evaluate(self, part: Part) -> Scores:
        """Score every run on a part of the data."""
        rows = [trainer.evaluate(part) for trainer in self.trainers]
        return Scores(*torch.tensor(rows, dtype=torch.float64).T)

    def probe(self) -> list[LayerView]:
        """Measure every layer of every run on the probe batch."""
        members = [trainer.probe() for trainer in self.trainers]
        return [_stack([views[layer] for views in members]) for layer in range(len(members[0]))]

    def update_ratios(self) -> Tensor:
        """Return the relative size of the last weight step, `[R, L]`; NaN before training."""
        return torch.stack([trainer.ratios for trainer in self.trainers])

    def weights(self) -> dict[str, Tensor]:
        """Return copies of every run's parameters, `[R, O, I]` and `[R, O]`."""
        members = [trainer.net.state_dict() for trainer in self.trainers]
        return {name: torch.stack([m[name] for m in members]).cpu() for name in members[0]}

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and optimizer state, and the step counts."""
        found: dict[str, Tensor] = {}
        for number, trainer in enumerate(self.trainers):
            prefix = f"run{number}"
            found[f"{prefix}.step"] = torch.tensor(trainer.step)
            for name, tensor in trainer.net.state_dict().items():
                found[f"{prefix}.net.{name}"] = tensor.to(CPU, copy=True)
            for index, slots in trainer.optimizer.state_dict()["state"].items():
                for name, value in slots.items():
                    if value is not None:
                        slot = torch.as_tensor(value).to(CPU, copy=True)
                        found[f"{prefix}.slot.{index}.{name}"] = slot
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        for number, trainer in enumerate(self.trainers):
            prefix = f"run{number}."
            mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            trainer.step = int(mine["step"])
            net = {k.removeprefix("net."): v for k, v in mine.items() if k.startswith("net.")}
            trainer.net.load_state_dict(net)
            saved = trainer.optimizer.state_dict()
            saved["state"] = {}
            for key, value in mine.items():
                if key.startswith("slot."):
                    _, index, name = key.split(".")
                    saved["state"].setdefault(int(index), {})[name] = value
            trainer.optimizer.load_state_dict(saved)


def _stack(views: Sequence[LayerView]) -> LayerView:
    def joined(name: str) -> Tensor | None:
        parts = [getattr(view, name) for view in views]
        return None if parts[0] is None else torch.cat(parts)

    return LayerView(**{name: joined(name) for name in LayerView.__slots__})  # type: ignore[arg-type]
