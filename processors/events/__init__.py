"""What can happen: one frozen type a kind, with its stream, its data and what of it is sealed.

fact         what all types have: stream, data, payload, read
series       what arrives, changes and goes on disk
rules        what people direct in REDCap, and what deciding by it comes to
patients     whose a study is, where that changed or is contradictory
transfers    the life of a transfer request
holds        requests that are asked for and not made
deliveries   rows in REDCap: delivered, refused, missing, written over
pseudonyms   generated IDs
operations   replays, moving in, forgetting

A type's name is the event's. Positions are integers. Data keys that come from DICOM carry DICOM's
keywords; others are snake_case. What identifies a person stands only in the sealed part.
"""

from collections.abc import Mapping
from types import ModuleType

from processors.events import deliveries, holds, operations, patients, pseudonyms, rules, series, transfers
from processors.events.fact import Fact


def _facts(*modules: ModuleType) -> dict[str, type[Fact]]:
    """The types that the modules define, but for those that only hold what others share."""
    defined = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Fact) and value.__module__ == module.__name__
    ]
    shared = {base for fact in defined for base in fact.__mro__[1:]}
    return {fact.__name__: fact for fact in defined if fact not in shared}


FACTS: Mapping[str, type[Fact]] = _facts(series, rules, patients, transfers, holds, deliveries, pseudonyms, operations)
"""Every type of event, by its name."""
