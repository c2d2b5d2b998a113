"""Per-frame numbers of many clips in Arrow IPC shards: one row a clip, memory-mapped, read without a copy.

A column holds, for each clip, an array of float32: (n, d) for what changes with time, (d,) for what does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.files import atomic_path

KEY = "clip_id"


def write_shard(path: Path, rows: list[dict[str, str | np.ndarray]]) -> None:
    """Write clips as one uncompressed Arrow IPC file, sorted by clip_id.

    Each row has "clip_id" (str) and, under the same names in every row, float arrays of shape (d,), (n,) or (n, d);
    n may differ between clips, d may not. A (d,) array of equal length in all rows is read back as (d,).

    Raises:
        ValueError: an array is not finite; the clip and the column are named.
    """
    rows = sorted(rows, key=lambda row: row[KEY])
    columns: dict[str, pa.Array] = {KEY: pa.array([row[KEY] for row in rows], pa.string())}
    shapes = {}
    for name in rows[0] if rows else ():
        if name == KEY:
            continue
        arrays = [np.ascontiguousarray(row[name], dtype=np.float32) for row in rows]
        for row, array in zip(rows, arrays, strict=True):
            if not np.isfinite(array).all():
                raise ValueError(f"{path}: {name} of clip {row[KEY]} has values that are not finite")
        lengths = np.array([array.size for array in arrays], dtype=np.int64)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        values = pa.array(np.concatenate([array.ravel() for array in arrays]), pa.float32())
        columns[name] = pa.LargeListArray.from_arrays(offsets, values)
        shapes[name] = str(arrays[0].shape[1]) if arrays[0].ndim == 2 else "1"
    table = pa.table(columns).replace_schema_metadata({f"width:{name}": width for name, width in shapes.items()})
    with atomic_path(path) as tmp, pa.OSFile(str(tmp), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class Columns(Mapping[str, dict[str, np.ndarray]]):
    """All clips of a folder of shards (``*.arrow``): ``columns[clip_id]["expression"]`` is a read-only view.

    Columns of width 1 come as (n,), others as (n, width).

    Raises:
        FileNotFoundError: the folder has no shard.
        KeyError: no such clip.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.arrow"))
        if not paths:
            raise FileNotFoundError(f"{folder} has no .arrow shard: `dvc repro` makes them")
        self._tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
        self._where = {
            clip_id: (table, row) for table in self._tables for row, clip_id in enumerate(table[KEY].to_pylist())
        }

    def __getitem__(self, clip_id: str) -> dict[str, np.ndarray]:
        table, row = self._where[clip_id]
        return {name: self._array(table, name, row) for name in table.column_names if name != KEY}

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    @staticmethod
    def _array(table: pa.Table, name: str, row: int) -> np.ndarray:
        width = int(table.schema.metadata[f"width:{name}".encode()])
        values = table[name][row].values.to_numpy(zero_copy_only=True)
        return values if width == 1 else values.reshape(-1, width)
