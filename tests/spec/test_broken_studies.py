"""Broken study files: every one gets its right message, and nothing but the message happens."""
# ruff: noqa: E501 - the table quotes whole messages

import sys
from pathlib import Path

import pytest

from fathom.activations import ACTIVATIONS
from fathom.data.datasets import DATASETS
from fathom.errors import StudyError
from fathom.initializers import INITIALIZERS
from fathom.losses import LOSSES
from fathom.optimizers import OPTIMIZERS
from fathom.schedules import SCHEDULES
from fathom.spec.load import load_study
from fathom.spec.study import Study

BASE = "data: digits\nactivation: relu\n"
THIRTY = [i / 10 for i in range(1, 31)]

# What messages list; a new component must not break this table.
KNOWN = {
    "<activations>": ", ".join(ACTIVATIONS.names()),
    "<initializers>": ", ".join(INITIALIZERS.names()),
    "<losses>": ", ".join(LOSSES.names()),
    "<optimizers>": ", ".join(OPTIMIZERS.names()),
    "<schedules>": ", ".join(SCHEDULES.names()),
    "<datasets>": ", ".join(DATASETS.names()),
    "<keys>": "name, description, seed, seeds, engine, precision, activation, init, loss, data, model, "
    "train, record, exclude, overrides, grid",
    "<axes>": "activation, augment, batch_size, clip_norm, data.name, data.seed, depth, epochs, "
    "hidden, init, limit, loss, lr, model.name, norm, optimizer, patience, protocol, scaling, "
    "schedule, skip, validation_share, width",
}

# What is broken -> the file, and the problems that must be told.
BROKEN: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty file": (
        "",
        ("the file is empty; a study is a mapping of settings such as data: digits",),
    ),
    "only a comment": (
        "# nothing\n",
        ("the file is empty; a study is a mapping of settings such as data: digits",),
    ),
    "list at the top": (
        "- relu\n- tanh\n",
        ("line 1: got a list; a study is a mapping of settings such as data: digits",),
    ),
    "scalar at the top": (
        "relu\n",
        ("line 1: got 'relu'; a study is a mapping of settings such as data: digits",),
    ),
    "not UTF-8": (
        b"data: digits\nname: caf\xe9\n",
        ("line 2: not UTF-8 text: byte 0xe9 does not fit. Save the file as UTF-8",),
    ),
    "UTF-16": (
        "data: digits\n".encode("utf-16"),
        ("not UTF-8 text: it looks like UTF-16. Save the file as UTF-8",),
    ),
    "zero byte": (
        "data: digits\nactivation: re\x00lu\n",
        ("line 2: the character U+0000 is not allowed in YAML",),
    ),
    "2 MiB": (b"# " + b"x" * 2**21, ("larger than 1 MiB, too large for a study file",)),
    "long line": (
        "data: digits\nactivation: " + "x" * 30_000,
        ("line 2: a line of more than 20,000 characters",),
    ),
    "many lines": ("\n" * 30_000, ("more than 20,000 lines",)),
    "many values": (
        "a: [" + ("1, " * 5_000 + "\n") * 5 + "]",
        ("line 4: more than 20,000 values",),
    ),
    "nested deep": ("[" * 10_000, ("line 1: nested deeper than 32 levels",)),
    "nested deep in lines": ("[\n" * 15_000, ("line 33: nested deeper than 32 levels",)),
    "nested block": (
        "".join(" " * i + "a:\n" for i in range(100)),
        ("line 32: nested deeper than 32 levels",),
    ),
    "tab": ("data:\n\tname: digits\n", ("line 2: not valid YAML: a tab where YAML wants spaces",)),
    "unclosed list": (
        "activation: [relu, tanh\ndata: digits\n",
        ("line 2: not valid YAML: expected ',' or ']', but got ':'",),
    ),
    "unclosed quote": (
        "activation: 'relu\ndata: digits\n",
        ("line 3: not valid YAML: found unexpected end of stream",),
    ),
    "bad escape": (
        'data: "\\UFFFFFFFF"\n',
        ("line 1: not valid YAML: something here cannot be read",),
    ),
    "two documents": (
        BASE + "---\ndata: digits\nactivation: relu\n",
        ("line 3: a second document; a study file holds one",),
    ),
    "directive": (
        "%YAML 1.1\n---\ndata: digits\nactivation: relu\n",
        ("line 2: directives (%YAML, %TAG) are not allowed; this is YAML 1.2",),
    ),
    "tag": (
        "data: digits\nactivation: !!python/object:os.system relu\n",
        ("line 2, activation: tags ('!!python/object:os.system') are not allowed; leave it out",),
    ),
    "anchor and alias": (
        "data: digits\nactivation: &a [relu]\ninit: *a\n",
        (
            "line 2, activation: anchors ('&a') are not allowed; write the value out",
            "line 3, init: aliases ('*a') are not allowed; write the value out",
        ),
    ),
    "anchor bomb": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        (
            "line 1, a: anchors ('&a') are not allowed; write the value out",
            "line 2, b: anchors ('&b') are not allowed; write the value out",
            "line 2, b[0]: aliases ('*a') are not allowed; write the value out",
            "line 2, b[1]: aliases ('*a') are not allowed; write the value out",
            "line 3, c[0]: aliases ('*b') are not allowed; write the value out",
            "line 3, c[1]: aliases ('*b') are not allowed; write the value out",
        ),
    ),
    "cyclic alias": (
        "data: digits\nactivation: &a [*a]\n",
        (
            "line 2, activation: anchors ('&a') are not allowed; write the value out",
            "line 2, activation[0]: aliases ('*a') are not allowed; write the value out",
        ),
    ),
    "merge key": (
        BASE + "train:\n  <<: {epochs: 5}\n",
        ("line 4, train.<<: merge keys ('<<') are not allowed; write the settings out",),
    ),
    "duplicate key": (
        BASE + "seed: 1\nactivation: tanh\n",
        ("line 4, activation: 'activation' is given twice, first in line 2",),
    ),
    "duplicate nested key": (
        BASE + "train: {lr: 0.1, epochs: 5, lr: 0.2}\n",
        ("line 3, train.lr: 'lr' is given twice, first in line 3",),
    ),
    "list as a key": (
        BASE + "? [a]\n: 1\n",
        ("line 3: a key must be a word, not a list or a mapping",),
    ),
    "null key": (BASE + "~: 1\n", ("line 3, ~: unknown key '~'. Known: <keys>",)),
    "missing everything": (
        "seed: 1\n",
        (
            "line 1, activation: is missing; name one or several, such as activation: [relu, tanh]",
            "line 1, data: is missing; name a data set, such as data: digits",
        ),
    ),
    "missing data name": (
        "data: {scaling: unit}\nactivation: relu\n",
        ("line 1, data.name: is missing; name a data set, such as name: digits",),
    ),
    "unknown key": (
        "dat: digits\nactivation: relu\n",
        (
            "line 1, data: is missing; name a data set, such as data: digits",
            "line 1, dat: unknown key 'dat'. Did you mean 'data'? Known: <keys>",
        ),
    ),
    "unknown nested key": (
        BASE + "train:\n  epochs: 5\n  batchsize: 64\n",
        (
            "line 5, train.batchsize: unknown key 'batchsize'. Did you mean 'batch_size'? Known: epochs, batch_size, lr, optimizer, schedule, clip_norm, patience, monitor, drop_last",
        ),
    ),
    "key of another part": (
        BASE + "lr: 0.1\n",
        ("line 3, lr: unknown key 'lr'. Did you mean 'train.lr'? Known: <keys>",),
    ),
    "unknown key like nothing": (
        BASE + "banana: 1\n",
        ("line 3, banana: unknown key 'banana'. Known: <keys>",),
    ),
    "number as a key": (BASE + "5: 1\n", ("line 3, 5: unknown key '5'. Known: <keys>",)),
    "escape in a key": (
        BASE + '"\\e[31mred": 1\n',
        ("line 3, \\x1b[31mred: unknown key '\\x1b[31mred'. Known: <keys>",),
    ),
    "part that is no mapping": (
        BASE + "train: 5\n",
        ("line 3, train: got 5; must be a mapping of settings",),
    ),
    "part that is null": (
        BASE + "train:\nrecord:\n  probe_size: 0\n",
        (
            "line 3, train: got null; must be a mapping of settings",
            "line 5, record.probe_size: got 0; must be an integer >= 2",
        ),
    ),
    "unknown activation": (
        "data: digits\nactivation: [tanh, rellu]\n",
        (
            "line 2, activation[1]: unknown activation 'rellu'. Did you mean 'relu'? Known: <activations>",
        ),
    ),
    "look-alike": (
        "data: digits\nactivation: r\u0435lu\n",
        (
            "line 2, activation: unknown activation 'r\u0435lu'. Did you mean 'relu'? Known: <activations>. Its letter 2 is U+0435 CYRILLIC SMALL LETTER IE.",
        ),
    ),
    "unknown initializer": (
        BASE + "init: he_norml\n",
        (
            "line 3, init: unknown initializer 'he_norml'. Did you mean 'he_normal'? Known: <initializers>",
        ),
    ),
    "unknown loss": (
        BASE + "loss: crossentropy\n",
        (
            "line 3, loss: unknown loss 'crossentropy'. Did you mean 'cross_entropy'? Known: <losses>",
        ),
    ),
    "parameters of losses": (
        BASE + "loss:\n  - {name: hinge, margin: -1}\n  - {name: focal, alpha: [0.5, 2]}\n",
        (
            "line 4, loss[0]: loss 'hinge': margin: got -1.0; must be a finite number, >= 0, <= 1e+06",
            "line 5, loss[1]: loss 'focal': alpha: got 2.0; must be a finite number, >= 0, <= 1",
        ),
    ),
    "unknown optimizer": (
        BASE + "train: {optimizer: adm}\n",
        (
            "line 3, train.optimizer: unknown optimizer 'adm'. Did you mean 'adam'? Known: <optimizers>",
        ),
    ),
    "unknown schedule": (
        BASE + "train: {schedule: cosin}\n",
        (
            "line 3, train.schedule: unknown schedule 'cosin'. Did you mean 'cosine'? Known: <schedules>",
        ),
    ),
    "unknown data set": (
        "data: mnits\nactivation: relu\n",
        ("line 1, data: unknown data set 'mnits'. Did you mean 'mnist'? Known: <datasets>",),
    ),
    "unknown parameter": (
        "data: digits\nactivation: {name: leaky_relu, slop: 0.1}\n",
        (
            "line 2, activation.slop: activation 'leaky_relu' has no parameter 'slop'. Did you mean 'slope'? Its parameters: slope",
        ),
    ),
    "parameter of a wrong type": (
        "data: digits\nactivation: {name: leaky_relu, slope: [0.1, steep]}\n",
        ("line 2, activation.slope[1]: got 'steep'; must be a number",),
    ),
    "parameter out of range": (
        BASE + "train: {optimizer: {name: sgd, momentum: 1.5}}\n",
        (
            "line 3, train.optimizer: optimizer 'sgd': momentum: got 1.5; must be a finite number, >= 0, < 1",
        ),
    ),
    "true as a parameter": (
        BASE + "init: {name: he_normal, factor: true}\n",
        ("line 3, init.factor: got true; must be a number",),
    ),
    "not a number as a parameter": (
        BASE + "init: {name: he_normal, factor: .nan}\n",
        ("line 3, init.factor: got nan; must be a number",),
    ),
    "unknown word as a parameter": (
        BASE + "init: {name: he_normal, mode: fan_inn}\n",
        (
            "line 3, init.mode: got 'fan_inn'; must be one of fan_in, fan_out, fan_avg. Did you mean 'fan_in'?",
        ),
    ),
    "too many parameter values": (
        BASE
        + f"init: {{name: trunc_normal, a: {[*range(-30, 0)]}, b: {[*range(1, 31)]}, std: {THIRTY}}}\n",
        ("line 3, init: its parameters make 27,000 values; must be 1,000 at most",),
    ),
    "component without a name": (
        BASE + "init: {factor: 2}\n",
        (
            "line 3, init: got a mapping without name; must be the name of an initializer, or a mapping with name and parameters",
        ),
    ),
    "component of a wrong type": (
        BASE + "init: 5\n",
        (
            "line 3, init: got 5; must be the name of an initializer, or a mapping with name and parameters",
        ),
    ),
    "null component": (
        "data: digits\nactivation:\n",
        (
            "line 2, activation: got null; must be the name of an activation, or a mapping with name and parameters",
        ),
    ),
    "import path": (
        "data: digits\nactivation: canary_module:phi\n",
        (
            "line 2, activation: activation 'canary_module:phi' would import 'canary_module', which you have not allowed. If you trust it, add --allow canary_module (from Python: fathom.allow)",
        ),
    ),
    "per_layer unknown name": (
        "data: digits\nactivation: {per_layer: [relu, tanhh]}\n",
        (
            "line 2, activation.per_layer[1]: unknown activation 'tanhh'. Did you mean 'tanh'? Known: <activations>",
        ),
    ),
    "per_layer beside others": (
        "data: digits\nactivation: {per_layer: [relu], name: relu}\n",
        ("line 2, activation: per_layer stands alone; give each layer's parameters in its list",),
    ),
    "per_layer of a wrong length": (
        "data: digits\nactivation: {per_layer: [relu, tanh]}\nmodel: {depth: [2, 3]}\n",
        ("line 2, activation: per_layer names 2 activations for 3 hidden layers",),
    ),
    "per_layer for an initializer": (
        BASE + "init: {per_layer: [zero, zero]}\n",
        ("line 3, init: per_layer is for activations; give one initializer",),
    ),
    "zero": (
        BASE + "train: {epochs: 0}\n",
        ("line 3, train.epochs: got 0; must be an integer >= 1",),
    ),
    "negative": (
        BASE + "train: {lr: -0.1}\n",
        ("line 3, train.lr: got -0.1; must be a number > 0",),
    ),
    "nan": (BASE + "train: {lr: .nan}\n", ("line 3, train.lr: got nan; must be a number > 0",)),
    "inf": (
        BASE + "train: {lr: [0.1, .inf]}\n",
        ("line 3, train.lr[1]: got inf; must be a number <= 1,000,000",),
    ),
    "overflow": (
        BASE + "train: {lr: 1e999}\n",
        ("line 3, train.lr: got inf; must be a number <= 1,000,000",),
    ),
    "huge": (
        BASE + "train: {epochs: 1000000000000}\n",
        ("line 3, train.epochs: got 1000000000000; must be an integer <= 100,000",),
    ),
    "huge digits": (
        BASE + f"seed: {'9' * 1_000}\n",
        (
            "line 3, seed: got '999999999999999999999999999999999999999999999999999999999...'; must be an integer >= 0",
        ),
    ),
    "huge integer": (
        BASE + f"seed: {'9' * 100}\n",
        (
            "line 3, seed: got an integer of more than 60 digits; must be an integer <= 9,007,199,254,740,992",
        ),
    ),
    "text as a number": (
        BASE + "train: {batch_size: '64'}\n",
        ("line 3, train.batch_size: got '64'; must be an integer >= 1",),
    ),
    "octal": (
        BASE + "train: {batch_size: 0o17}\n",
        ("line 3, train.batch_size: got '0o17'; must be an integer >= 1",),
    ),
    "float as an integer": (
        BASE + "train: {batch_size: 64.0}\n",
        ("line 3, train.batch_size: got 64.0; must be an integer >= 1",),
    ),
    "boolean as a number": (
        BASE + "train: {batch_size: true}\nseeds: false\n",
        (
            "line 3, train.batch_size: got true; must be an integer >= 1",
            "line 4, seeds: got false; must be an integer >= 1",
        ),
    ),
    "no is text": (
        BASE + "record: {histograms: no}\n",
        ("line 3, record.histograms: got 'no'; must be true or false",),
    ),
    "number as text": (
        BASE + "name: 5\n",
        ("line 3, name: got 5; must be text (put it in quotes)",),
    ),
    "null where not allowed": (
        BASE + "train: {epochs: null, clip_norm: null}\n",
        ("line 3, train.epochs: got null; must be an integer >= 1",),
    ),
    "share of one": (
        "data: {name: digits, validation_share: 1}\nactivation: relu\n",
        ("line 1, data.validation_share: got 1; must be a number > 0 and < 1",),
    ),
    "unknown word": (
        "data: {name: digits, scaling: untit}\nactivation: relu\n",
        (
            "line 1, data.scaling: got 'untit'; must be one of unit, symmetric, standard, per_image, none. Did you mean 'unit'?",
        ),
    ),
    "empty list": (
        "data: digits\nactivation: []\n",
        ("line 2, activation: an empty list leaves nothing to train; give at least one value",),
    ),
    "empty parameter list": (
        BASE + "init: {name: he_normal, factor: []}\n",
        ("line 3, init.factor: an empty list leaves nothing to train; give at least one value",),
    ),
    "value listed twice": (
        "data: digits\nactivation: [relu, tanh, relu]\n",
        ("line 2, activation[2]: the same value twice; each is trained once",),
    ),
    "value listed twice by parameters": (
        BASE + "init: [he_normal, {name: he_normal, factor: 2}]\n",
        ("line 3, init[1]: the same value twice; each is trained once",),
    ),
    "alias listed twice": (
        "data: digits\nactivation: [silu, swish]\n",
        ("line 2, activation[1]: the same value twice; each is trained once",),
    ),
    "list where one value is due": (
        BASE + "seed: [1, 2]\n",
        ("line 3, seed: got a list; must be an integer >= 0",),
    ),
    "mapping as a number": (
        BASE + "train: {lr: {value: 1}}\n",
        ("line 3, train.lr: got a mapping; must be a number > 0",),
    ),
    "replicates": (BASE + "seeds: [0, 7, 7]\n", ("line 3, seeds[2]: replicate 7 is listed twice",)),
    "probe of nothing": (
        BASE + "record: {probe_size: 0}\n",
        ("line 3, record.probe_size: got 0; must be an integer >= 2",),
    ),
    "name with a line break": (
        BASE + 'name: "a\\nb"\n',
        ("line 3, name: got 'a\\nb'; must be one line of text",),
    ),
    "empty name": (BASE + "name: ''\n", ("line 3, name: must not be empty",)),
    "half a character": (
        BASE + 'name: "\\ud800"\n',
        ("line 3, name: got '\\ud800'; must be one line of text",),
    ),
    "flat sweep of widths": (
        BASE + "model: {hidden: 5}\n",
        ("line 3, model.hidden: got 5; must be a list of widths such as [256, 128]",),
    ),
    "wrong width": (
        BASE + "model: {hidden: [[64, 32], [64, 0]]}\n",
        ("line 3, model.hidden[1][1]: got 0; must be an integer >= 1",),
    ),
    "hidden and depth": (
        BASE + "model:\n  depth: 5\n  hidden: [64, 64]\n",
        ("line 5, model.hidden: give hidden, or depth and width, not both",),
    ),
    "path without arrays": (
        "data: {name: digits, path: my.npz}\nactivation: relu\n",
        (
            "line 1, data.path: only data sets 'arrays', 'image_folder', 'tiny_imagenet', 'voc' "
            "take path, not digits",
        ),
    ),
    "arrays without path": (
        "data: arrays\nactivation: relu\n",
        ("line 1, data: data set 'arrays' needs data.path, an .npz file",),
    ),
    "patience without validation": (
        "data: {name: digits, protocol: train_test}\nactivation: relu\ntrain: {patience: 3}\n",
        (
            "line 3, train.patience: needs a validation part, which data.protocol train_test does not have",
        ),
    ),
    "grid and inline": (
        BASE + "grid:\n  activation: [relu, tanh]\n",
        ("line 4, grid.activation: also given as activation in line 2; give it once",),
    ),
    "grid twice": (
        BASE + "grid:\n  lr: [0.1, 0.2]\n  train.lr: [0.3]\n",
        ("line 5, grid.train.lr: also given as grid.lr in line 4; give it once",),
    ),
    "unknown key in grid": (
        BASE + "grid: {train.lrr: [0.1], depht: [5]}\n",
        (
            "line 3, grid.train.lrr: unknown key 'train.lrr'. Did you mean 'train.lr'? Known: <axes>",
            "line 3, grid.depht: unknown key 'depht'. Did you mean 'depth'? Known: <axes>",
        ),
    ),
    "key that cannot be swept": (
        BASE + "grid: {monitor: [validation_loss], seed: [1, 2]}\n",
        (
            "line 3, grid.monitor: all runs of a study have the same train.monitor; it cannot be swept or matched",
            "line 3, grid.seed: all runs of a study have the same seed; it cannot be swept or matched",
        ),
    ),
    "grid that is a list": (
        BASE + "grid: [activation]\n",
        ("line 3, grid: got a list; must be a mapping such as depth: [5, 10]",),
    ),
    "bad value in grid": (
        "data: digits\ngrid:\n  activation:\n    - relu\n    - tanh\n    - rellu\n  batch_size: [64, 0]\n",
        (
            "line 6, grid.activation[2]: unknown activation 'rellu'. Did you mean 'relu'? Known: <activations>",
            "line 7, grid.batch_size[1]: got 0; must be an integer >= 1",
        ),
    ),
    "empty grid": (
        "data: digits\ngrid: {activation: []}\n",
        (
            "line 2, grid.activation: an empty list leaves nothing to train; give at least one value",
        ),
    ),
    "billion runs": (
        f"data: digits\nactivation: [relu, tanh]\nseeds: 1000000\ntrain: {{lr: {[*range(1, 501)]}}}\n",
        (
            "line 1: the grid has 1,000,000,000 runs (activation: 2, train.lr: 500, seeds: 1,000,000); more than 100,000 need your word for it: add --yes-run 1000000000 (from Python: allow_runs=1000000000)",
        ),
    ),
    "exclude that matches nothing": (
        BASE + "model: {depth: [5, 10]}\nexclude:\n  - {activation: relu, depth: [10, 20]}\n",
        ("line 5, exclude[0].depth: 20 matches no run; the study has 5, 10",),
    ),
    "exclude with an unknown key": (
        BASE + "exclude: [{activatoin: relu}]\n",
        (
            "line 3, exclude[0].activatoin: unknown key 'activatoin'. Did you mean 'activation'? Known: <axes>",
        ),
    ),
    "exclude with an unknown value": (
        BASE + "exclude: [{activation: rel}]\n",
        (
            "line 3, exclude[0].activation: unknown activation 'rel'. Did you mean 'relu'? Known: <activations>",
        ),
    ),
    "exclude that is a mapping": (
        BASE + "exclude: {activation: relu}\n",
        ("line 3, exclude: got a mapping; must be a list, one rule in each item",),
    ),
    "empty rule": (
        BASE + "exclude: [{}]\n",
        ("line 3, exclude[0]: got an empty mapping; must be a mapping such as {depth: [40, 50]}",),
    ),
    "exclude everything": (
        BASE + "exclude:\n  - {activation: relu}\n",
        ("line 3, exclude: leaves no run of the grid",),
    ),
    "exclude on an unused setting": (
        BASE + "model: {hidden: [64, 64]}\nexclude: [{depth: 5}]\n",
        ("line 4, exclude[0].depth: 5 matches no run; the study does not use model.depth",),
    ),
    "override with an unknown key": (
        BASE + "overrides:\n  - where: {activation: relu}\n    set: {train.lrr: 0.1}\n",
        (
            "line 5, overrides[0].set.train.lrr: unknown key 'train.lrr'. Did you mean 'train.lr'? Known: <axes>",
        ),
    ),
    "a normalisation that is none": (
        BASE + "model: {norm: [layer_norm, batchnorm], skip: true}\n",
        (
            "line 3, model.norm[1]: got 'batchnorm'; must be one of none, layer_norm, batch_norm. Did you mean 'batch_norm'?",
            "line 3, model.skip: got true; must be one of none, residual.",
        ),
    ),
    "override with a list": (
        BASE
        + "overrides:\n  - where: {activation: relu}\n    set: {lr: [0.1, 0.2], init: {name: he_normal, factor: [1, 2]}}\n",
        (
            "line 5, overrides[0].set.lr: got a list; must be a number > 0",
            "line 5, overrides[0].set.init: its parameters make 2 values; only one is possible here",
        ),
    ),
    "units at odd times": (
        BASE + "record: {units: end}\n",
        (
            "line 3, record.units: got 'end'; must be one of none, ends, every. Did you mean 'ends'?",
        ),
    ),
    "units as a flag": (
        BASE + "record: {units: true}\n",
        ("line 3, record.units: got true; must be one of none, ends, every.",),
    ),
    "a single frame": (
        "data: half_moons\nactivation: relu\nrecord:\n  surfaces: 1\n",
        ("line 4, record.surfaces: got 1; must be an integer >= 2 or null",),
    ),
    "surfaces in many dimensions": (
        BASE + "record:\n  surfaces: 5\n",
        (
            "line 4, record.surfaces: needs data of two features, and a sample of 'digits' has 64; leave it out, or use data such as half_moons",
        ),
    ),
    "surfaces of some of the data": (
        "data: {name: [half_moons, mnist]}\nactivation: relu\nrecord: {surfaces: 5}\noverrides: [{where: {data.name: half_moons}, set: {data.name: cifar10}}]\n",
        (
            "line 3, record.surfaces: needs data of two features, and a sample of 'cifar10' has 3,072; leave it out, or use data such as half_moons",
            "line 3, record.surfaces: needs data of two features, and a sample of 'mnist' has 784; leave it out, or use data such as half_moons",
        ),
    ),
    "override without set": (
        BASE + "overrides: [{where: {activation: relu}}]\n",
        (
            "line 3, overrides[0]: needs both where and set, such as {where: {activation: relu}, set: {init: he_uniform}}",
        ),
    ),
    "override with a typo": (
        BASE + "overrides: [{when: {activation: relu}, set: {lr: 1}}]\n",
        ("line 3, overrides[0].when: unknown key 'when'. Known: where, set",),
    ),
    "override that matches nothing": (
        BASE + "overrides: [{where: {activation: tanh}, set: {lr: 1}}]\n",
        ("line 3, overrides[0].where.activation: tanh matches no run; the study has relu",),
    ),
    "override given twice": (
        BASE + "overrides: [{where: {activation: relu}, set: {lr: 1, train.lr: 2}}]\n",
        ("line 3, overrides[0].set.train.lr: train.lr is given twice",),
    ),
    "override without effect": (
        BASE + "overrides: [{where: {activation: relu}, set: {hidden: [64, 64]}}]\n",
        ("line 3, overrides[0].set.hidden: has no effect: the study gives depth and width",),
    ),
    "override of a fixed setting": (
        BASE + "overrides: [{where: {activation: relu}, set: {seed: 1}}]\n",
        (
            "line 3, overrides[0].set.seed: all runs of a study have the same seed; it cannot be swept or matched",
        ),
    ),
    "override that makes twins": (
        BASE
        + "init: [he_normal, zero]\noverrides:\n  - {where: {init: zero}, set: {init: he_normal}}\n",
        (
            "line 4, overrides: the cells (init: he_normal) and (init: he_normal) come to the same run; keep one",
        ),
    ),
    "per_layer twin": (
        "data: digits\nactivation: [relu, {per_layer: [relu, relu]}]\nmodel: {depth: 2}\n",
        (
            "line 2, activation: the cells (activation: relu) and (activation: relu*2) come to the same run; keep one",
        ),
    ),
    "several problems": (
        "data: mnits\nactivation: rellu\ntrain:\n  lr: -1\n  batch_size: 0\nfoo: 1\n",
        (
            "line 1, data: unknown data set 'mnits'. Did you mean 'mnist'? Known: <datasets>",
            "line 2, activation: unknown activation 'rellu'. Did you mean 'relu'? Known: <activations>",
            "line 4, train.lr: got -1; must be a number > 0",
            "line 5, train.batch_size: got 0; must be an integer >= 1",
            "line 6, foo: unknown key 'foo'. Known: <keys>",
        ),
    ),
}


def told(problems: tuple[str, ...], source: str = "study.yaml") -> str:
    """Put the whole message together."""
    text = "\n".join(f"  {problem}" for problem in problems)
    for short, names in KNOWN.items():
        text = text.replace(short, names)
    plural = "" if len(problems) == 1 else "s"
    return f"{source}: {len(problems)} problem{plural}\n{text}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_study_gets_its_message(folder: Path, what: str) -> None:
    content, problems = BROKEN[what]
    file = folder / "study.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StudyError, match="problem") as caught:
        load_study("study.yaml").runs()
    assert str(caught.value) == told(problems)
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]


def test_nothing_is_imported_because_a_file_says_so(folder: Path) -> None:
    (folder / "canary_module.py").write_text("raise SystemExit('imported')")
    (folder / "study.yaml").write_text("data: digits\nactivation: canary_module:phi\n")
    with pytest.raises(StudyError, match="--allow canary_module"):
        load_study("study.yaml")
    assert "canary_module" not in sys.modules


BUILT_IN = (
    "activation-tour, classics, deep-mlp, deep-mlp-quick, digits, half-moon, he-factor, "
    "layer-mixes, loss-depth, loss-duel, loss-duel-fair, loss-grid, numpy-mnist, numpy-moons, selu-overflow, "
    "sigmoid-depths, spline-vgp, tiny-voc, trainable-depth"
)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "deep-mpl",
            "no such file and no built-in study of this name. Did you mean 'deep-mlp'? "
            f"Built in: {BUILT_IN}",
        ),
        ("studdy.yaml", f"no such file. Did you mean 'study.yaml'? Built-in studies: {BUILT_IN}"),
        ("nowhere/a.yaml", f"no such file. Built-in studies: {BUILT_IN}"),
        ("results", "is a folder; give the study file in it"),
        ("loop.yaml", "cannot be read: Too many levels of symbolic links"),
        ("study.yaml/x.yaml", "cannot be read: Not a directory"),
        ("a\0b.yaml", "cannot be read: embedded null byte"),
        ("/dev/null", "is not a file"),
        ("x" * 300 + ".yaml", "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_read(folder: Path, source: str, problem: str) -> None:
    (folder / "study.yaml").write_text(BASE)
    (folder / "results").mkdir()
    (folder / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(StudyError, match="1 problem") as caught:
        load_study(source)
    assert str(caught.value) == told((problem,), source.replace("\0", "\\x00"))


def test_an_unreadable_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (folder / "study.yaml").write_text(BASE)
    monkeypatch.setattr(Path, "open", deny)  # tests may run as root, whom no mode stops
    with pytest.raises(
        StudyError, match=r"study.yaml: 1 problem\n  cannot be read: Permission denied"
    ):
        load_study("study.yaml")


@pytest.mark.parametrize(
    ("sets", "problems"),
    [
        (["train.lr"], ("--set train.lr: must be key=value, such as --set train.lr=0.1",)),
        (["train.lr=-1"], ("--set train.lr: got -1; must be a number > 0",)),
        (["lr=[0.1, x]"], ("--set lr[1]: got 'x'; must be a number > 0",)),
        (["lr=[0.1"], ("--set lr: not valid YAML: expected ',' or ']', but got '<stream end>'",)),
        (["lr=!!int 5"], ("--set lr: tags ('!!int') are not allowed; leave it out",)),
        (
            ["activation=rellu"],
            (
                "--set activation: unknown activation 'rellu'. Did you mean 'relu'? "
                "Known: <activations>",
            ),
        ),
        (
            ["data={name: digits, scalin: unit}", "seeds=0"],
            (
                "--set seeds: got 0; must be an integer >= 1",
                "--set data.scalin: unknown key 'scalin'. Did you mean 'scaling'? Known: name, path, "
                "image_size, classes, augment, scaling, protocol, validation_share, test_share, limit, seed",
            ),
        ),
    ],
)
def test_a_broken_setting_from_the_command_line(
    folder: Path, sets: list[str], problems: tuple[str, ...]
) -> None:
    (folder / "study.yaml").write_text(BASE)
    with pytest.raises(StudyError, match="--set") as caught:
        load_study("study.yaml", sets=sets)
    assert str(caught.value) == told(problems)


def test_an_unknown_setting_from_the_command_line(folder: Path) -> None:
    (folder / "study.yaml").write_text(BASE)
    with pytest.raises(StudyError, match=r"--set train.lrr: unknown key .* mean 'train.lr'\?"):
        load_study("study.yaml", sets=["train.lrr=1"])


def test_problems_of_a_study_from_python() -> None:
    with pytest.raises(StudyError, match="study: 2 problems") as caught:
        Study(data="mnits", activation=["relu", "rellu"])
    assert str(caught.value) == told(
        (
            "activation[1]: unknown activation 'rellu'. Did you mean 'relu'? Known: <activations>",
            "data: unknown data set 'mnits'. Did you mean 'mnist'? Known: <datasets>",
        ),
        "study",
    )
