"""What all kinds of events have in common: how a fact is stored, and read again.

The stored type is the name of the class. A field without a default is a key that the stored data always
holds, `null` where it is None; one with a default is left out while it has it. What identifies a person
stands in the sealed part only, and is None where nothing was unsealed, or the person was forgotten.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self

from ledger.events import Event
from processors.events.streams import study_stream


class Nested(NamedTuple):
    """How a value that JSON has no word for is read from what is stored, and stored."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


LIST = Nested(tuple, list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """What has happened. `sealed` names the fields that identify a person, `nested` those that JSON does not know."""

    type: ClassVar[str]
    sealed: ClassVar[frozenset[str]] = frozenset()
    nested: ClassVar[Mapping[str, Nested]] = {}

    def __init_subclass__(cls) -> None:
        cls.type = cls.__name__

    @property
    def stream(self) -> str:
        """The stream that it stands in."""
        raise NotImplementedError

    def data(self) -> dict[str, Any]:
        """What is stored for everybody to read who may read the ledger: JSON values by key."""
        data = {name: getattr(self, name) for name in _always_stored(type(self))}
        for name, default in _stored_if_told(type(self)):
            if (value := getattr(self, name)) != default:
                data[name] = value
        for name, form in self.nested.items():
            if name in data and data[name] is not None:
                data[name] = form.write(data[name])
        return data

    def payload(self) -> dict[str, Any]:
        """What is stored sealed. Raises `ValueError` where any of it is not known (any more)."""
        payload = {name: getattr(self, name) for name in sorted(self.sealed)}
        if None in payload.values():
            raise ValueError(f"{self.type}: expected all of {', '.join(payload)}, to be sealed; found some unknown.")
        return payload

    @classmethod
    def read(cls, event: Event, payload: Mapping[str, Any] | None = None) -> Self:
        """The fact that stands in the ledger, with what was unsealed of it.

        Raises `TypeError` for an event of another type, and where the data lacks a key or has one too many.
        """
        if event.type != cls.type:
            raise TypeError(f"Expected {cls.type} at position {event.position}, found {event.type}.")
        data = event.data
        if cls.nested:
            data = data | {
                name: form.read(data[name]) for name, form in cls.nested.items() if data.get(name) is not None
            }
        try:
            return cls(**data, **payload) if payload else cls(**data)
        except TypeError as exc:
            exc.add_note(f"It was read from position {event.position} of the ledger.")
            raise


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFact(Fact):
    """What has happened to a study, in its stream: `study/UID`."""

    study: str

    @property
    def stream(self) -> str:
        """The stream of the study."""
        return study_stream(self.study)


@cache
def _always_stored(type_: type[Fact]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(type_) if field.default is MISSING)


@cache
def _stored_if_told(type_: type[Fact]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, field.default)
        for field in fields(type_)
        if field.default is not MISSING and field.name not in type_.sealed
    )
