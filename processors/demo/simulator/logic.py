"""REDCap's filter logic, the part that clients use: `[age] > 30 and ([done(1)] = '1' or [name] <> "")`."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final

from .dictionary import box_name
from .export import places
from .replies import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .record_store import RecordStore

    Condition = Callable[[Mapping[str, str]], bool]
    Term = Callable[[Mapping[str, str]], str]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<field>\[[a-z0-9_]+(\([^()\]]+\))?\])|(?P<text>'[^']*'|"[^"]*")|(?P<number>-?\d+(\.\d+)?)"""
    r"""|(?P<sign><=|>=|<>|!=|=|<|>|\(|\))|(?P<word>and|or)\b)""",
    re.IGNORECASE,
)
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matching(store: RecordStore, names: Iterable[str], logic: str) -> list[str]:
    """The records of which at least one row satisfies the logic; Refusal for logic that cannot be read.

    Whether REDCap judges instance rows one by one is not known for certain; a record counts as a whole here.
    """
    condition = _Reader(store, logic).read()
    identity = store.dictionary.record_id
    return [
        name
        for name in names
        if any(
            condition({**values, identity: name})
            for _instrument, _instance, values in places(store.records[name], store.repeating)
        )
    ]


class _Reader:
    """Turns the text of a condition into a function, by descent: or, and, comparison."""

    def __init__(self, store: RecordStore, logic: str) -> None:
        self._store = store
        self._tokens = self._split(logic)

    def read(self) -> Condition:
        condition = self._either()
        if self._tokens:
            raise _invalid()
        return condition

    @staticmethod
    def _split(logic: str) -> list[tuple[str, str]]:
        tokens, offset = [], 0
        while logic[offset:].strip():
            token = _TOKEN.match(logic, offset)
            if token is None:
                raise _invalid()
            tokens.append((str(token.lastgroup), token[str(token.lastgroup)]))
            offset = token.end()
        return tokens

    def _take(self, *wanted: str) -> bool:
        if self._tokens and self._tokens[0][1].lower() in wanted:
            self._tokens.pop(0)
            return True
        return False

    def _either(self) -> Condition:
        conditions = [self._both()]
        while self._take("or"):
            conditions.append(self._both())
        return lambda row: any(condition(row) for condition in conditions)

    def _both(self) -> Condition:
        conditions = [self._comparison()]
        while self._take("and"):
            conditions.append(self._comparison())
        return lambda row: all(condition(row) for condition in conditions)

    def _comparison(self) -> Condition:
        if self._take("("):
            inside = self._either()
            if not self._take(")"):
                raise _invalid()
            return inside
        left = self._term()
        sign = self._tokens.pop(0)[1] if self._tokens else ""
        if sign not in _COMPARE:
            raise _invalid()
        right = self._term()
        return lambda row: _compare(_COMPARE[sign], left(row), right(row))

    def _term(self) -> Term:
        kind, token = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "field":
            return self._field(token[1:-1])
        if kind in ("text", "number"):
            literal = token.strip("'\"")
            return lambda _row: literal
        raise _invalid()

    def _field(self, token: str) -> Term:
        name, _bracket, code = token.partition("(")
        column = box_name(name, code.rstrip(")")) if code else name
        if column not in self._store.dictionary.columns:
            raise _invalid()
        blank = "0" if code else ""
        return lambda row: row.get(column, blank)


def _compare(sign: Callable[[Any, Any], bool], left: str, right: str) -> bool:
    """Compare as numbers where both are numbers, else as text."""
    try:
        return sign(float(left), float(right))
    except ValueError:
        return sign(left, right)


def _invalid() -> Refusal:
    return Refusal('The value of the parameter "filterLogic" is not valid')
