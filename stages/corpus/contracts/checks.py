"""Running contracts: what each came to, and the rows that broke it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import great_expectations as gx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from great_expectations.core import ExpectationValidationResult

NAMED = 200  # rows named for one broken contract; all are counted
NO_ROW = "(the whole table)"
CONTRACT, CAVEAT = "contract", "caveat"  # keys of an expectation's meta


@dataclass(frozen=True)
class Check:
    """One contract's outcome.

    Attributes:
        rows: what broke it, at most NAMED of them.
        broken: how many rows broke it.
        caveat: what the contract does not promise here, though one might think so.
    """

    table: str
    contract: str
    kept: bool
    rows: list[str] = field(default_factory=list)
    broken: int = 0
    caveat: str = ""


def verdict(table: str, contract: str, rows: Sequence[str], caveat: str = "") -> Check:
    """The outcome of a contract that great-expectations did not check: kept if no row broke it."""
    return Check(table, contract, not rows, list(rows[:NAMED]), len(rows), caveat)


def check_schema(name: str, path: Path, schema: pa.Schema) -> Check:
    """Are columns and types exactly the schema's?"""
    found = pq.read_schema(path)
    wrong = [
        f"{key}: {found.field(key).type if key in found.names else 'missing'}, not {schema.field(key).type}"
        for key in schema.names
        if key not in found.names or found.field(key).type != schema.field(key).type
    ]
    wrong += [f"{key}: unknown" for key in found.names if key not in schema.names]
    return verdict(name, "columns and types are the schema's", wrong)


def run_suite(name: str, frame: pd.DataFrame, key: str, suite: list[gx.expectations.Expectation]) -> list[Check]:
    """Run expectations on a table; broken ones name rows by the column `key`. Each has its contract in its meta."""
    asset = _context().data_sources.add_or_update_pandas(name).add_dataframe_asset(name)
    frame = frame.reset_index(drop=True)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": frame})
    form = {"result_format": "SUMMARY", "partial_unexpected_count": NAMED}
    results = batch.validate(gx.ExpectationSuite(name=name, expectations=suite), result_format=form).results
    checks = [_outcome(name, frame, key, result) for result in results]
    order = [expectation.meta[CONTRACT] for expectation in suite]
    return sorted(checks, key=lambda check: order.index(check.contract))


@cache
def _context() -> gx.data_context.EphemeralDataContext:
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _outcome(name: str, frame: pd.DataFrame, key: str, result: ExpectationValidationResult) -> Check:
    config = result.expectation_config
    contract, caveat = config.meta[CONTRACT], config.meta.get(CAVEAT, "")
    if result.success:
        return Check(name, contract, True, caveat=caveat)
    if error := result.exception_info.get("exception_message"):
        return Check(name, contract, False, [str(error).splitlines()[0]], 1, caveat)
    places = result.result.get("partial_unexpected_index_list") or []
    column = config.kwargs.get("column")
    rows = [_row_name(frame, key, column, place) for place in places[:NAMED]] or [NO_ROW]
    return Check(name, contract, False, rows, result.result.get("unexpected_count") or 1, caveat)


def _row_name(frame: pd.DataFrame, key: str, column: str | None, place: int) -> str:
    row = frame.iloc[place]
    if column in (None, key) or pd.api.types.is_bool_dtype(frame[column]):  # the contract itself says what is not so
        return str(row[key])
    return f"{row[key]}: {column} = {row[column]}"
