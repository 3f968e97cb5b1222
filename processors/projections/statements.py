"""The regular statements by which rows of a table come and go, made from what the table is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import text

from processors.projections.rows import Again, Statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of schema `gateway`: the columns that events fill, by name as PostgreSQL types them, and its key."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]

    def upsert(
        self, also: str = "", *, but: Mapping[str, str] | None = None, again: Again = Again.LAST_COUNTS
    ) -> Statement:
        """Inserts rows, and overwrites those that are there; `also` is set in these besides.

        `but` are the columns of these that get something else than the new row's value.
        """
        new = {column: f"excluded.{column}" for column in self.columns if column not in self.key} | dict(but or {})
        values = [f"{column} = {value}" for column, value in new.items()]
        return self._insert(f"update set {', '.join(filter(None, [*values, also]))}", again)

    def insert_once(self) -> Statement:
        """Inserts rows, and leaves those that are there as they are."""
        return self._insert("nothing", Again.FIRST_COUNTS)

    def delete(self) -> Statement:
        """Deletes the rows of these keys, where they are there."""
        same = " and ".join(f"t.{column} = r.{column}" for column in self.key)
        statement = f"delete from gateway.{self.name} as t using {self._rows(self.key)} where {same}"
        return Statement(self.name, self.key, text(statement))

    def mark_removed(self) -> Statement:
        """Keeps the rows of these keys, marked as removed by the event at `position`."""
        return self._set("removed = true, doubted_position = null, position = r.position")

    def set_doubt(self) -> Statement:
        """Keeps the rows of these keys, doubted by the event at `position`; where that is null, no longer.

        One statement for both, since a record may come and go many times: of a batch, only the last time counts.
        """
        return self._set("doubted_position = r.position")

    def _set(self, changes: str) -> Statement:
        same = " and ".join(f"t.{column} = r.{column}" for column in self.key)
        statement = f"""
            update gateway.{self.name} as t set {changes}
              from {self._rows((*self.key, "position"))}
             where {same}
        """
        return Statement(self.name, self.key, text(statement))

    def _insert(self, on_conflict: str, again: Again) -> Statement:
        columns = ", ".join(self.columns)
        statement = f"""
            insert into gateway.{self.name} ({columns})
            select {columns} from {self._rows(self.columns)}
            on conflict ({", ".join(self.key)}) do {on_conflict}
        """
        return Statement(self.name, self.key, text(statement), again)

    def _rows(self, columns: Iterable[str]) -> str:
        """The parameters as rows of these columns, named `r`."""
        typed = ", ".join(f"{column} {self.columns[column]}" for column in columns)
        return f"json_to_recordset(cast(:rows as json)) as r ({typed})"
