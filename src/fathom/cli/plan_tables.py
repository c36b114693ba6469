"""What is printed of a plan: cohorts, their networks, memory and time, and how far losses step."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from fathom.cli.tables import add_row, make_console, make_table, print_text
from fathom.execution.progress import duration

if TYPE_CHECKING:
    from fathom.api import Plan, Study
    from fathom.losses import LossStep
    from fathom.spec.grid import Run

_MOST_COHORTS: Final = 40
_PREFIXES: Final = ("", "k", "M", "G", "T")


def print_plan(study: "Study", plan: "Plan") -> None:
    """Print a study's cohorts, what they cost, and what is unlikely to be meant."""
    names = ("parameters", "FLOPs", "activations", "memory", "time")
    runs, epochs = ("runs", "right"), ("epochs", "right")
    numbers = ((name, "right") for name in names)
    table = make_table("cohort", runs, epochs, "what is trained", *numbers)
    for cohort in plan.cohorts[:_MOST_COHORTS]:
        network = cohort.network
        add_row(
            table,
            cohort.id[:8],
            str(len(cohort.runs)),
            str(cohort.epochs),
            describe_network(cohort.runs[0]),
            short_count(network.parameters),
            short_count(network.flops),
            f"{network.activation_mb:,.{0 if network.activation_mb >= 10 else 1}f} MiB",
            f"{cohort.memory_mb:,.0f} MiB",
            duration(cohort.estimated_s),
        )
    console = make_console()
    console.print(table)
    if len(plan.cohorts) > _MOST_COHORTS:
        console.print(f"... and {len(plan.cohorts) - _MOST_COHORTS} more cohorts")
    note = "of one network: FLOPs of a sample's forward pass, activations kept of a training batch"
    print_text(console, f"({note})")
    cost = f"about {duration(plan.estimated_s)}, {plan.memory_mb:,.0f} MiB"
    print_text(console, f"{study.name}: {plan.sizes}: {cost}")
    for sentence in (*plan.warnings, *_shortage(plan)):
        print_text(console, f"warning: {sentence}")


def _shortage(plan: "Plan") -> Iterator[str]:
    """Say what will not fit into this machine's memory."""
    from fathom.execution.session import free_memory_mb

    free_mb = free_memory_mb()
    if plan.device_bytes is not None or free_mb is None:
        return
    largest = max(cohort.memory_mb for cohort in plan.cohorts)
    if largest > free_mb:
        yield (
            f"a worker needs {largest:,.0f} MiB and {free_mb:,.0f} are free; a smaller "
            "train.batch_size or record.probe_size needs less"
        )
    elif plan.memory_mb > free_mb:
        yield f"{free_mb:,.0f} MiB are free; so fewer than {plan.workers} workers will run"


def describe_network(run: "Run") -> str:
    """Say on what data which network is trained."""
    model, data = run.model, run.data.name
    if model.name.name != "mlp":
        return f"{data}, {model.name.label}"
    if not model.hidden:
        return f"{data}, no hidden layer"
    uniform = len(set(model.hidden)) == 1
    widths = f"{len(model.hidden)} x {model.hidden[0]}"
    return f"{data}, hidden layers {widths if uniform else '-'.join(map(str, model.hidden))}"


def short_count(number: float) -> str:
    """Write a large number with three digits and a prefix.

    >>> [short_count(n) for n in (0, 999, 1000, 61_706, 999_950, 11_167_690, 9e8)]
    ['0', '999', '1.00 k', '61.7 k', '1.00 M', '11.2 M', '900 M']
    """
    power = 0
    while power + 1 < len(_PREFIXES) and round(number, 3 - len(str(int(number)))) >= 1000:
        number, power = number / 1000, power + 1
    if not power:
        return str(int(number))
    return f"{number:#.3g}".rstrip(".") + f" {_PREFIXES[power]}"


def print_planned_losses(steps: "Sequence[LossStep]") -> None:
    """Print a line for each loss of a study that compares losses: how far it steps."""
    from fathom.losses import compare_steps

    sentence = compare_steps(steps)
    if not sentence:
        return
    console = make_console()
    print_text(console, "\nlength of dE/dlogits of one sample at logits that are all 0:")
    lines = (
        f"  {step.loss}: {step.scale:.4g} ({step.num_classes} classes), {step.words}"
        for step in steps
    )
    for line in dict.fromkeys(lines):
        print_text(console, line)
    print_text(console, sentence)
