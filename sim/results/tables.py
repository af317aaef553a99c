"""The tables of a run: their columns, keys and meaning, written as parquet while the run goes on.

Exact columns end in `_wad` and are decimal128(38, 0); each has a float64 twin without the ending.
Equal runs give byte-identical files: rows come in step order, row groups have a fixed size, and
nothing of the machine or the clock goes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_IN_MEMORY = 65_536
_EXACT = pa.decimal128(38, 0)
_CONTEXT = Context(prec=38)


@dataclass(frozen=True)
class Column:
    """One column: its type and what it means."""

    name: str
    kind: pa.DataType
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table of a run folder."""

    name: str
    meaning: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(column.name, column.kind) for column in self.columns])


def _int(name: str, meaning: str) -> Column:
    return Column(name, pa.int64(), meaning)


def _float(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), meaning)


def _text(name: str, meaning: str) -> Column:
    return Column(name, pa.string(), meaning)


def _flag(name: str, meaning: str) -> Column:
    return Column(name, pa.bool_(), meaning)


def _money(name: str, meaning: str) -> tuple[Column, Column]:
    return (
        Column(f"{name}_wad", _EXACT, f"{meaning}; WAD, as the chain holds it"),
        _float(name, f"{meaning}; quote currency"),
    )


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "steps",
            "One row a block.",
            ("step",),
            (
                _int("step", "number of the step, from 0"),
                _int("time", "unix seconds of the block"),
                _int("block", "block number"),
                _text("block_hash", "hash of the block on Anvil; empty on other backends"),
                _int("transactions", "transactions in the block"),
                _int("failed", "of them, those that reverted"),
                _int("dropped", "transactions that the gas limit left out of the block"),
                _int("withheld", "transactions that simulation showed to revert, never sent"),
                _int("gas_used", "gas used by the block"),
                _int("accounts", "accounts read, the insurance fund not counted"),
                _int("compared", "accounts compared with the reference, the fund included"),
                _int("unpriced", "underlyings, expiries and tokens that no report priced so far"),
                _int("underwater", "accounts whose equity is below maintenance margin"),
                _int("liquidating", "accounts in a liquidation"),
                *_money("equity", "sum of the equity of all accounts"),
                *_money("fund", "equity of the insurance fund, account 0"),
                *_money("deficit", "sum of negative equities, as a positive number"),
                *_money("mutualised", "losses shared among positive cash since the start"),
                *_money("conservation", "conservation identity of PROTOCOL 9; 0 when it holds"),
            ),
        ),
        Table(
            "prices",
            "What the market did, and what the chain was told.",
            ("step", "factor"),
            (
                _int("step", "number of the step"),
                _int("time", "unix seconds"),
                _text("factor", "name of the underlying"),
                _float("spot", "market price, USD"),
                _float("vol", "market implied vol, 30 days at the money, annualised"),
                _float("oracle_spot", "spot as the oracle holds it; nan before its first report"),
                _float("oracle_mark", "perp mark as the oracle holds it"),
                _float("funding_index", "cash paid per unit long since listing"),
            ),
        ),
        Table(
            "accounts",
            "Every account after every block: the chain's figures and the reference's.",
            ("step", "account"),
            (
                _int("step", "number of the step"),
                _int("account", "account id; 0 is the insurance fund"),
                _text("agent", "who owns it"),
                _int("phase", "0 healthy, 1 solvent liquidation, 2 insolvent liquidation"),
                _int(
                    "usable",
                    "what its market data is fresh for: 1 opening, 2 closing, 4 liquidation",
                ),
                *_money("cash", "cash, interest and haircuts up to this block included"),
                *_money("stored_cash", "cash as stored, at the account's last change of it"),
                *_money("equity", "equity on chain"),
                *_money("initial", "initial margin on chain"),
                *_money("maintenance", "maintenance margin on chain"),
                _float("reference_equity", "equity by the reference; nan if not compared"),
                _float("reference_initial", "initial margin by the reference; nan if not compared"),
                _float(
                    "reference_maintenance",
                    "maintenance margin by the reference; nan likewise",
                ),
                _float("error", "largest absolute difference of the three, quote currency"),
                _float("budget", "error budget of PROTOCOL 11, quote currency"),
                _float(
                    "greek_error", "largest difference of a greek in money, over gross notional"
                ),
                _flag("flip", "a decision on chain differs from the reference outside the budget"),
                _float("delta", "dollar delta"),
                _float("gamma", "dollar gamma: change of dollar delta per 1.00 relative move"),
                _float("vega", "per 1.00 of vol"),
                _float("theta", "−∂V/∂T per year, the discount's rate held"),
            ),
        ),
        Table(
            "positions",
            "An account's positions, written again at each step at which they changed.",
            ("step", "account", "underlying", "expiry", "strike", "kind"),
            (
                _int("step", "step from which on these are the account's positions"),
                _int("account", "account id"),
                _text("underlying", "name; empty: the account holds no position from here on"),
                _text("kind", "perp, call or put"),
                _int("expiry", "unix seconds; 0 for a perp"),
                _float("strike", "strike; of a perp, the mark it was last settled at"),
                _float("size", "units, long is positive"),
                _text("word", "the packed word of the chain, hex"),
            ),
        ),
        Table(
            "transactions",
            "Every transaction that was sent, in block order.",
            ("block", "index"),
            (
                _int("block", "block number; the set-up takes several blocks"),
                _int("step", "number of the step; -1 is the set-up"),
                _int("index", "place in the block"),
                _text("agent", "who sent it"),
                _text("action", "what it does: oracle, deposit, trade, flag, bid, ..."),
                _int("account", "account it acts for; -1 if none"),
                _flag("succeeded", "false if it reverted, or was left out"),
                _flag("included", "false if the gas limit left it out of the block"),
                _int("gas_used", "gas, 21,000 and calldata included"),
                _float("tip", "priority fee, gwei per gas"),
                _float("fee", "gas at base fee and tip, quote currency; the set-up is free"),
                _text("reason", "why it reverted"),
            ),
        ),
        Table(
            "events",
            "Every event of the protocol.",
            ("block", "log"),
            (
                _int("block", "block number"),
                _int("step", "number of the step; -1 is the set-up"),
                _int("index", "place of the transaction in the block"),
                _int("log", "place of the event in the block"),
                _text("contract", "contract that emitted it"),
                _text("event", "its name"),
                _text("arguments", "JSON, integers as decimal strings"),
            ),
        ),
        Table(
            "liquidations",
            "What happened to accounts in liquidation. An account flagged without equity has two "
            "rows of one event: it is insolvent at once.",
            ("block", "log", "what"),
            (
                _int("block", "block number"),
                _int("step", "number of the step"),
                _int("index", "place of the transaction in the block"),
                _int("log", "place of the event in the block"),
                _int("account", "account in liquidation"),
                _text("what", "name of the event: flagged, bid, resolved, ..."),
                _int("bidder", "account that took over; -1 if none"),
                _float("fraction", "fraction of the account that moved"),
                *_money("paid", "cash paid by the bidder; negative: paid to the bidder"),
                *_money("equity", "equity of the account after the block"),
                *_money("maintenance", "maintenance margin of the account after the block"),
            ),
        ),
        Table(
            "waterfall",
            "Who bore what a liquidation cost, layer by layer.",
            ("block", "log", "layer"),
            (
                _int("block", "block number"),
                _int("step", "number of the step"),
                _int("index", "place of the transaction in the block"),
                _int("log", "place of the event in the block"),
                _text(
                    "layer",
                    "account (its discount to bidders), fees, fund, deleveraging, mutualisation or "
                    "deficit",
                ),
                _int("account", "account whose loss it is; -1 if not of one account"),
                *_money(
                    "amount",
                    "borne by this layer; of `account`, its equity before a bid less that after",
                ),
            ),
        ),
        Table(
            "agents",
            "What every agent came to at the end. Gas is booked here; the chain takes no fees.",
            ("agent",),
            (
                _text("agent", "its name"),
                _int("accounts", "accounts that it opened"),
                _int("transactions", "transactions in blocks, the set-up left out"),
                _int("failed", "of them, those that reverted"),
                _int("liquidating", "of them, those that belong to liquidations"),
                _int("gas_used", "gas of its transactions"),
                _float("gas_fees", "what that cost it, quote currency"),
                _float("endowed", "worth of its tokens at the start, quote currency"),
                _float(
                    "worth",
                    "equity of its accounts at the oracle's prices and tokens in its wallet at the "
                    "market's, quote currency; nan if the chain cannot assess an account",
                ),
                _float("profit", "worth less what it was endowed with"),
                _float("profit_after_gas", "the same less its gas fees"),
            ),
        ),
        Table(
            "checks",
            "What was verified after each block.",
            ("step", "check"),
            (
                _int("step", "number of the step"),
                _text("check", "name of the check"),
                _flag("held", "whether it held"),
                _int("account", "account that is worst; -1 if none"),
                _float("worst", "its figure"),
                _float("allowed", "what is allowed"),
                _text("unit", "of both"),
                _int("compared", "how many figures were compared"),
                _text("reason", "why it was broken, where that is known"),
            ),
        ),
    )
}


class TableWriter:
    """Writes one table row by row, holding a bounded number of rows in memory."""

    def __init__(self, table: Table, folder: Path) -> None:
        self._table = table
        self._file = pq.ParquetWriter(
            folder / f"{table.name}.parquet",
            table.schema,
            compression="zstd",
            write_statistics=True,
            store_schema=True,
        )
        self._columns: dict[str, list[Any]] = {column.name: [] for column in table.columns}
        self._exact = [c.name for c in table.columns if c.kind == _EXACT]
        self._rows = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows; an exact column may be given alone, its float twin is derived."""
        for row in rows:
            for name, values in self._columns.items():
                if name in row:
                    values.append(row[name])
                else:
                    values.append(row[f"{name}_wad"] / 10**18)
            self._rows += 1
            if self._rows == _ROWS_IN_MEMORY:
                self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        for name in self._exact:
            self._columns[name] = [_CONTEXT.create_decimal(v) for v in self._columns[name]]
        arrays = [pa.array(self._columns[c.name], type=c.kind) for c in self._table.columns]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._table.schema))
        for values in self._columns.values():
            values.clear()
        self._rows = 0

    def close(self) -> None:
        self.flush()
        self._file.close()


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a written table."""
    with open_table(path) as file:
        found: pd.DataFrame = file.read(list(columns), use_threads=False).to_pandas(
            use_threads=False
        )
    return found


def open_table(path: Path) -> pq.ParquetFile:
    """Open a written table for reading.

    Nothing is read ahead and no reader may use threads: Arrow's may outlive what they read, and
    then, once in thirty times, abort the process as it ends (apache/arrow issue 34314).
    """
    return pq.ParquetFile(path, pre_buffer=False)


def dictionary() -> str:
    """Return the data dictionary of all tables as Markdown."""
    lines: list[str] = []
    for table in TABLES.values():
        lines += [f"## {table.name}", "", f"{table.meaning} Key: {', '.join(table.keys)}.", ""]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{c.name}` | {c.kind} | {c.meaning} |" for c in table.columns]
        lines.append("")
    return "\n".join(lines)
