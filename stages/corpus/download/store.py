"""What became of every download: a small SQLite file in the download folder, which outlives runs and kills."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

NAME = "downloads.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS downloads (
    item TEXT PRIMARY KEY, url TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
    class TEXT, reason TEXT, path TEXT, bytes INTEGER, sha256 TEXT
)
"""


@dataclass(frozen=True)
class Download:
    """One row.

    Attributes:
        item: the id, which names the file.
        status: started (or killed in the middle) | done | failed.
        attempts: in all runs together.
        kind: permanent | transient, of a failure; column `class`.
        path: the file's name in the download folder.
    """

    item: str
    url: str
    status: str
    attempts: int = 0
    kind: str | None = None
    reason: str | None = None
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None


class Store:
    """The rows, by item; each write is on disk when the call returns.

    Raises (all methods):
        sqlite3.Error: the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / NAME, isolation_level=None)
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def get(self, item: str) -> Download | None:
        row = self._db.execute("SELECT * FROM downloads WHERE item = ?", (item,)).fetchone()
        return Download(*row) if row else None

    def put(self, row: Download) -> None:
        marks = ", ".join("?" * len(fields(row)))
        self._db.execute(f"INSERT OR REPLACE INTO downloads VALUES ({marks})", astuple(row))

    def forget(self, kind: str) -> int:
        """Drop the failures of a kind, so that they are tried again; how many there were."""
        return self._db.execute("DELETE FROM downloads WHERE status = 'failed' AND class = ?", (kind,)).rowcount

    def counts(self) -> Iterable[tuple[str, str | None, str | None, int]]:
        """(status, class, reason, how many), the most frequent first."""
        return self._db.execute(
            "SELECT status, class, reason, COUNT(*) FROM downloads GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
        ).fetchall()
