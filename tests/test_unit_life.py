"""Lives of units by hand: born dead, died, revived; and the counts of their states."""

import numpy as np
import polars as pl
import pytest

from fathom.records import UNIT_STATES
from fathom.store.tables import schema
from fathom.unit_life import count_states, lives

ALIVE, DEAD, LOW, NONE = "alive", "dead", "saturated low", "no number"
EPOCHS = [0, 2, 5, 9]

# What a unit is at these epochs -> born_dead, died_at, revived_at
LIVES: dict[str, tuple[list[str], tuple[bool, int | None, int | None]]] = {
    "lives": ([ALIVE, ALIVE, "asleep", ALIVE], (False, None, None)),
    "born dead": ([DEAD, DEAD, DEAD, DEAD], (True, None, None)),
    "dies": ([ALIVE, ALIVE, DEAD, DEAD], (False, 5, None)),
    "dies at the end": ([LOW, ALIVE, ALIVE, DEAD], (False, 9, None)),
    "born dead, revives": ([DEAD, DEAD, LOW, ALIVE], (True, None, 5)),
    "born dead, revives, dies": ([DEAD, ALIVE, ALIVE, DEAD], (True, 9, 2)),
    "dies and revives": ([ALIVE, DEAD, ALIVE, ALIVE], (False, 2, 5)),
    "dies twice": ([ALIVE, DEAD, ALIVE, DEAD], (False, 2, 5)),
    "saturates": ([ALIVE, LOW, LOW, LOW], (False, None, None)),
    "dies of NaN, which is no death": ([ALIVE, ALIVE, NONE, NONE], (False, None, None)),
    "dead, then NaN, which is no life": ([DEAD, DEAD, DEAD, NONE], (True, None, None)),
    "dead on either side of NaN": ([DEAD, NONE, NONE, DEAD], (True, None, None)),
}


def made(*words: list[str], run_id: str = "r", layer: int = 1) -> pl.DataFrame:
    rows = [
        {"run_id": run_id, "epoch": epoch, "layer": layer, "unit": unit, "state": state}
        for unit, states in enumerate(words)
        for epoch, state in zip(EPOCHS, states, strict=True)
    ]
    named = pl.DataFrame(rows).with_columns(place=pl.lit(f"layers.{layer - 1}"))
    empty = pl.DataFrame(schema=schema("units"))
    return pl.concat([empty, named], how="diagonal").sample(fraction=1, shuffle=True, seed=3)


@pytest.mark.parametrize("life", LIVES)
def test_a_life(life: str) -> None:
    states, expected = LIVES[life]
    row = lives(made(states)).row(0, named=True)
    assert (row["born_dead"], row["died_at"], row["revived_at"]) == expected
    assert (row["first_state"], row["last_state"]) == (states[0], states[-1])
    assert row["place"] == "layers.0"


def test_lives_by_chance_are_those_told_step_by_step() -> None:
    rng = np.random.default_rng(7)
    words = [[str(word) for word in rng.choice(UNIT_STATES, 4)] for _ in range(300)]
    for states, row in zip(words, lives(made(*words)).iter_rows(named=True), strict=True):
        died = revived = before = None
        for epoch, state in zip(EPOCHS, states, strict=True):
            if state == NONE:
                continue
            if before is not None and died is None and state == DEAD != before:
                died = epoch
            if before is not None and revived is None and before == DEAD != state:
                revived = epoch
            before = state
        assert (row["died_at"], row["revived_at"]) == (died, revived), states


def test_units_of_all_runs_and_layers_are_apart() -> None:
    states = [states for states, _ in LIVES.values()]
    parts = [made(*states, run_id=run, layer=layer) for run in ("a", "b") for layer in (1, 2)]
    found = lives(pl.concat(parts))
    assert found.select("run_id", "layer", "unit").rows() == [
        (run, layer, unit) for run in ("a", "b") for layer in (1, 2) for unit in range(len(LIVES))
    ]
    expected = [fate for _, fate in LIVES.values()] * 4
    assert found.select("born_dead", "died_at", "revived_at").rows() == expected


def test_a_unit_first_seen_later_is_not_born_dead() -> None:
    later = made([DEAD, DEAD, DEAD, DEAD]).filter(pl.col("epoch") > 0)
    assert lives(later).row(0, named=True)["born_dead"] is False


def test_states_are_counted_by_layer() -> None:
    first = made([DEAD] * 4, [ALIVE] * 4, [DEAD, ALIVE, ALIVE, ALIVE], [NONE] * 4)
    second = made([LOW] * 4, [LOW] * 4, layer=2)
    counted = count_states(pl.concat([second, first]))
    assert counted.filter(pl.col("epoch") == 0).rows() == [
        ("r", 0, 1, ALIVE, 1, 0.25),
        ("r", 0, 1, DEAD, 2, 0.5),
        ("r", 0, 1, NONE, 1, 0.25),
        ("r", 0, 2, LOW, 2, 1.0),
    ]
    assert counted["count"].sum() == len(EPOCHS) * 6


def test_states_come_in_the_order_of_the_record() -> None:
    counted = count_states(made(*([state] * 4 for state in reversed(UNIT_STATES))))
    assert counted["state"].to_list() == [*UNIT_STATES] * 4


def test_nothing_counted_is_nothing_to_tell() -> None:
    empty = pl.DataFrame(schema=schema("units"))
    assert lives(empty).height == count_states(empty).height == 0
    assert lives(empty).columns == lives(made([DEAD] * 4)).columns
    assert count_states(empty).columns == ["run_id", "epoch", "layer", "state", "count", "share"]
