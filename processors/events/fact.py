"""What every type of event has: its stream, what stands in plain, and what of it is sealed."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import msgspec
from msgspec.structs import fields

from ledger.events import Told

CauseKind = Literal["rule", "coupling", "autoid", "operator"]


class Cause(NamedTuple):
    """The rule, entry, generated ID or operator that led to something, and the position of the event with its content.

    `record_id` is REDCap's; the account's name for an operator.
    """

    kind: CauseKind
    record_id: str
    position: int


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; its fields are what the event holds.

    `SEALED` names the fields that identify a person: they are encrypted for a subject, and are None where
    they were not unsealed, or were forgotten.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset()

    @property
    def stream(self) -> str:
        """The stream that the event belongs to."""
        raise NotImplementedError

    @property
    def data(self) -> dict[str, Any]:
        """What stands in plain: JSON values by field name."""
        layout = _layout(type(self))
        data = {name: getattr(self, name) for name in layout.plain}
        # Most values are JSON's already: asking of each what it is would take longer than all the rest.
        for name, _ in layout.restored:
            data[name] = _plain(data[name])
        return data

    @property
    def payload(self) -> dict[str, Any]:
        """What is to be sealed, by field name."""
        return {name: getattr(self, name) for name in _layout(type(self)).sealed}

    @classmethod
    def read(cls, event: Told, payload: Mapping[str, Any] | None = None) -> Self:
        """The fact in an event of this type, with what was unsealed of it.

        Raises `TypeError` where the event's data has other keys than the type has fields.
        """
        values = {**event.data, **(payload or {})}
        for name, restore in _layout(cls).restored:
            # Of an event that was stored before there was such a field, its default counts.
            if name in values:
                values[name] = restore(values[name])
        return cls(**values)


class _Layout(NamedTuple):
    """A type's fields, in plain and sealed; and those that JSON does not give back as they were, with what does."""

    plain: tuple[str, ...]
    sealed: tuple[str, ...]
    restored: tuple[tuple[str, Callable[[Any], Any]], ...]


_LAYOUTS: dict[type[Fact], _Layout] = {}


def _layout(fact: type[Fact]) -> _Layout:
    """Asked for each event, and found out once a type."""
    layout = _LAYOUTS.get(fact)
    if layout is None:
        names = [field.name for field in fields(fact)]
        layout = _LAYOUTS[fact] = _Layout(
            plain=tuple(name for name in names if name not in fact.SEALED),
            sealed=tuple(name for name in names if name in fact.SEALED),
            restored=tuple((field.name, _RESTORE[field.type]) for field in fields(fact) if field.type in _RESTORE),
        )
    return layout


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Cause):
        return value._asdict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _cause(value: Mapping[str, Any]) -> Cause:
    return Cause(value["kind"], value["record_id"], value["position"])


def _groups(values: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, values))


def _causes(values: list[Mapping[str, Any]]) -> tuple[Cause, ...]:
    return tuple(map(_cause, values))


_RESTORE: Mapping[Any, Callable[[Any], Any]] = {
    Cause: _cause,
    tuple[Cause, ...]: _causes,
    tuple[str, ...]: tuple,
    tuple[int, ...]: tuple,
    tuple[tuple[str, ...], ...]: _groups,
}


class OfStudy(Fact, frozen=True, kw_only=True):
    """A fact about one study, in its stream `study/<StudyInstanceUID>`."""

    study: str

    @property
    def stream(self) -> str:
        """The study's."""
        return study_stream(self.study)


def study_stream(study: str) -> str:
    """The stream of one study: its series, decisions about it, its deliveries."""
    return f"study/{study}"
