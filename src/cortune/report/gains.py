"""What tuning gains: paired differences from the untuned network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortune.tuning.methods import UNTUNED

if TYPE_CHECKING:
    import pandas as pd


def over_untuned(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return each row's r less that of the untuned network with the same `keys`.

    Parameters
    ----------
    table : DataFrame
        `keys`, ``method`` and ``r_mean``, a row per combination.
    keys : list of str

    Returns
    -------
    DataFrame
        `keys`, ``method`` (tuned ones only) and ``r_mean``, the gain; rows without a
        counterpart left out.
    """
    if UNTUNED not in set(table["method"]):
        return table.iloc[:0]
    wide = table.pivot(index=keys, columns="method", values="r_mean")
    gains = wide.drop(columns=UNTUNED).sub(wide[UNTUNED], axis=0)
    return gains.melt(ignore_index=False, value_name="r_mean").dropna().reset_index()
