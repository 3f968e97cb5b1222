"""What holds for every type of event: it comes back from the ledger as it was, and keeps secret what it should."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pkgutil import iter_modules
from types import UnionType
from typing import Any, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from ledger import codec
from ledger.events import Event
from processors import events
from processors.events import FACTS
from processors.events.fact import Cause, Fact
from processors.events.series import SeriesDiscovered
from processors.gateway import Gateway, patient_subject
from tests.facts import a_series

each_type = pytest.mark.parametrize("type_", FACTS.values(), ids=FACTS)


def values(type_: Any) -> st.SearchStrategy[Any]:
    """What a field of this type may hold."""
    arguments = [values(argument) for argument in get_args(type_) if isinstance(argument, type) or get_args(argument)]
    match get_origin(type_) or type_:
        case kind if kind is str:
            return st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
        case kind if kind is int:
            return st.integers(0, 2**63 - 1)
        case kind if kind is Cause:
            return st.builds(Cause, **{name: values(of) for name, of in Cause.__annotations__.items()})
        case kind if kind is UnionType:
            return st.one_of(arguments)
        case kind if kind is tuple:
            return st.lists(arguments[0], max_size=3).map(tuple)
        case kind if kind is list:
            return st.lists(arguments[0], max_size=3)
        case kind if kind is Mapping:
            return st.dictionaries(*arguments, max_size=3)
        case _:
            return st.from_type(type_)


def facts(type_: type[Fact]) -> st.SearchStrategy[Fact]:
    """Any fact of this type."""
    return st.builds(type_, **{field.name: values(field.type) for field in fields(type_)})


def through_json(data: Mapping[str, Any]) -> dict[str, Any]:
    return codec.decode(codec.encode(data))


def stored(fact: Fact) -> Event:
    """The fact as it is read from the ledger."""
    return Event(
        position=1,
        event_id=UUID(int=1),
        site="main",
        stream=fact.stream,
        version=1,
        type=type(fact).__name__,
        schema_version=1,
        data=through_json(fact.data),
        subject=None,
        sealed=None,
        recorded_at=datetime(2026, 3, 2, tzinfo=UTC),
        run=UUID(int=1),
        hash=b"",
    )


# -- the types -------------------------------------------------------------------------------------------


def test_every_type_of_every_module_is_in_the_table_under_a_name_of_its_own() -> None:
    modules = [import_module(f"{events.__name__}.{module.name}") for module in iter_modules(events.__path__)]
    defined = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Fact) and value.__module__ == module.__name__
    ]
    inherited = {base for type_ in defined for base in type_.__mro__[1:]}
    assert sorted(type_.__name__ for type_ in defined if type_ not in inherited) == sorted(FACTS)


@each_type
def test_each_type_says_in_a_sentence_what_happened(type_: type[Fact]) -> None:
    # A dataclass without a docstring is given its signature.
    said = (type_.__doc__ or "").strip()
    assert not said.startswith(f"{type_.__name__}(")
    assert said.endswith(".")


# -- there and back --------------------------------------------------------------------------------------


@each_type
@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_any_fact_comes_back_as_it_was_and_keeps_secret_what_it_should(type_: type[Fact], data: st.DataObject) -> None:
    """All at once: to make a fact up takes far longer than to look at it."""
    fact = data.draw(facts(type_))
    assert_it_comes_back_as_it_was(fact)
    assert_its_data_are_what_json_gives_back(fact)
    assert_what_was_forgotten_is_none_and_the_rest_comes_back_in_the_same_stream(fact)
    assert_each_field_stands_either_in_plain_or_is_sealed(fact)
    assert_an_event_that_holds_what_the_type_does_not_know_is_not_read(fact)


def assert_it_comes_back_as_it_was(fact: Fact) -> None:
    assert type(fact).read(stored(fact), through_json(fact.payload)) == fact


def assert_its_data_are_what_json_gives_back(fact: Fact) -> None:
    assert stored(fact).data == fact.data


def assert_what_was_forgotten_is_none_and_the_rest_comes_back_in_the_same_stream(fact: Fact) -> None:
    without = type(fact).read(stored(fact))
    assert without == replace(fact, **dict.fromkeys(fact.SEALED))
    assert fact.stream
    assert without.stream == fact.stream


def assert_each_field_stands_either_in_plain_or_is_sealed(fact: Fact) -> None:
    assert fact.payload.keys() == fact.SEALED
    assert fact.data.keys() == {field.name for field in fields(fact)} - fact.SEALED


def assert_an_event_that_holds_what_the_type_does_not_know_is_not_read(fact: Fact) -> None:
    event = stored(fact)
    with pytest.raises(TypeError, match="unknown_key"):
        type(fact).read(event._replace(data={**event.data, "unknown_key": 1}))


# -- recorded --------------------------------------------------------------------------------------------


def test_what_is_to_be_sealed_is_not_recorded_in_plain(gateway: Gateway) -> None:
    arrived = a_series("1.2", "1.2.1", PatientID="PID-1", PatientName="Nordmann^Kari")
    with gateway.begin() as work, pytest.raises(ValueError, match="expected it sealed"):
        work.record([arrived])


def test_a_fact_that_was_sealed_is_read_with_what_was_unsealed(gateway: Gateway) -> None:
    arrived = a_series("1.2", "1.2.1", PatientID="PID-1", PatientName="Nordmann^Kari")
    with gateway.begin() as work:
        (recorded,) = work.record([work.seal(arrived, patient_subject("1.2", "PID-1"))])
        ((event, payload),) = work.identities([recorded.position]).values()
    assert SeriesDiscovered.read(event, payload) == arrived
