"""What the page tells of single units: how many are dead, asleep, saturated, layer by layer."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from fathom.figures import Frames
from fathom.records import UNIT_STATES
from fathom.unit_life import lives


def unit_table(frames: Frames) -> dict[str, Any]:
    """Count the units of each layer at the first and the last epoch at which they were observed.

    Args:
        frames: The measurements; runs whose units were not recorded are left out.

    Returns:
        `states`, those that occur, in the order of `records.UNIT_STATES`; and `runs`, by run id
        `epochs` (the first and the last) and `layers`: for each its number, its name, its units,
        how many of them are in each of `states` first and last, and how many were born dead, died
        and revived.
    """
    units = frames.units.collect()
    if units.is_empty():
        return {"states": [], "runs": {}}
    found = set(units["state"].unique())
    states = [state for state in UNIT_STATES if state in found]
    epochs = units.group_by("run_id").agg(first=pl.col("epoch").min(), last=pl.col("epoch").max())
    runs: dict[str, Any] = {
        run_id: {"epochs": [first, last], "layers": []}
        for run_id, first, last in epochs.sort("run_id").iter_rows()
    }
    for run_id, *layer in _layers(lives(units), states).iter_rows():
        runs[run_id]["layers"].append(layer)
    return {"states": states, "runs": runs}


def _layers(life: pl.DataFrame, states: Sequence[str]) -> pl.DataFrame:
    first, last = (
        pl.concat_list(*((pl.col(moment) == state).sum() for state in states))
        for moment in ("first_state", "last_state")
    )
    return (
        life
        .group_by("run_id", "layer")
        .agg(
            pl.col("place").first(),
            num_units=pl.len(),
            first=first,
            last=last,
            born_dead=pl.col("born_dead").sum(),
            died=pl.col("died_at").is_not_null().sum(),
            revived=pl.col("revived_at").is_not_null().sum(),
        )
        .sort("run_id", "layer")
    )
