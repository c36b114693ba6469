"""The life of units over recorded epochs: born dead, died, revived; and how many are in each state.

Both functions read a table of `records.UNIT_COLUMNS`.
"""

from typing import Final

import polars as pl

from fathom.records import UNIT_STATES

_UNIT: Final = ("run_id", "layer", "unit")
_IS_DEAD: Final = pl.col("state") == "dead"


def lives(units: pl.DataFrame) -> pl.DataFrame:
    """Follow each unit through the epochs at which it was counted.

    Between two of these a unit may have died and revived unseen.

    Args:
        units: Columns of `records.UNIT_COLUMNS`, rows in any order.

    Returns:
        One row for each unit, sorted by `run_id`, `layer`, `unit`: `place`; `first_state` and
        `last_state`; `born_dead`, whether it is dead at epoch 0; `died_at`, the first epoch at
        which it is dead and was not at one before; `revived_at`, the first at which it is not dead
        and was at one before. The two epochs are null where there is none. `no number` is not dead,
        and no life either: a unit dies from any other state, and revives to any other.
    """
    # Nothing is sorted but the result: of every unit and epoch there may be millions of rows.
    epoch = pl.col("epoch")
    is_alive = ~_IS_DEAD & (pl.col("state") != "no number")
    first_dead, first_alive = epoch.filter(_IS_DEAD).min(), epoch.filter(is_alive).min()
    return (
        units
        .group_by(_UNIT)
        .agg(
            pl.col("place").first(),
            first_state=pl.col("state").get(epoch.arg_min()),
            last_state=pl.col("state").get(epoch.arg_max()),
            born_dead=(_IS_DEAD & (epoch == 0)).any(),
            died_at=epoch.filter(_IS_DEAD & (epoch > first_alive)).min(),
            revived_at=epoch.filter(is_alive & (epoch > first_dead)).min(),
        )
        .sort(_UNIT)
    )


def count_states(units: pl.DataFrame) -> pl.DataFrame:
    """Count the units in each state, layer by layer.

    Args:
        units: Columns of `records.UNIT_COLUMNS`, rows in any order.

    Returns:
        `run_id`, `epoch`, `layer`, `state`, `count` and `share` (of the layer's units): a row for
        each state that a unit of the layer is in, states in the order of `records.UNIT_STATES`.
    """
    layer = ("run_id", "epoch", "layer")
    return (
        units
        .group_by(*layer, "state")
        .agg(count=pl.len().cast(pl.Int64))
        .with_columns(share=pl.col("count") / pl.col("count").sum().over(layer))
        .sort(*layer, pl.col("state").cast(pl.Enum(UNIT_STATES)))
    )
