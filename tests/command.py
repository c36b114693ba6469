"""What a command of the command line came to."""

from collections.abc import Callable
from typing import NamedTuple

STUDY = """\
data: {name: digits, limit: 128}
activation: [relu, tanh]
model: {depth: 1, width: 8}
train: {epochs: 2, lr: 0.1}
record: {probe_size: 32}
"""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Fathom = Callable[..., Outcome]
