"""Tables on disk: Parquet in sealed files."""

import io
from pathlib import Path

import pandas as pd

from common import sealed
from common.errors import first_line


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all; its `attrs`, plain data, go with it."""
    sealed.write(path, table.to_parquet())


def read_table(path: Path, n_rows: int | None = None) -> pd.DataFrame | None:
    """The table that `write_table` wrote, or an earlier version without a seal; `None` where there is none.

    A damaged one, or one that has not `n_rows`, is set aside, and counts as none.
    """
    content = sealed.read(path)
    if content is None:
        return None
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # a damaged file makes the reader stumble in many ways
        sealed.set_aside(path, f"it is no table ({first_line(error)})")
        return None
    if n_rows is not None and len(table) != n_rows:
        sealed.set_aside(path, f"it has {len(table)} rows instead of {n_rows}")
        return None
    return table
