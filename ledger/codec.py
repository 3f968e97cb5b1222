"""Event data to stored JSON text and back, with upcasters for shapes of the past.

An upcaster brings the data of an event stored with an older schema version to the next one:
`Upcasters` maps (type, stored schema version) to a function from old data to new data. They run on
reading, one version at a time; nothing that is stored is ever rewritten.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

Data = dict[str, Any]
Upcasters = Mapping[tuple[str, int], Callable[[Data], Data]]

_NUL_ESCAPE = b"\\u0000"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def encode(data: Mapping[str, Any]) -> bytes:
    """The JSON text of `data`, keys sorted, in UTF-8.

    NUL becomes U+FFFD: PostgreSQL's JSON operators fail on it, and an auditor's query over a
    million events must not fail because one scanner padded one text. So do lone surrogates, which
    file names can hold and UTF-8 cannot. Raises `TypeError` for what JSON has no word for, and for
    integers beyond 64 bits, which readers would round.
    """
    try:
        text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_storable(data), option=orjson.OPT_SORT_KEYS)
    if _NUL_ESCAPE in text:
        text = orjson.dumps(_storable(data), option=orjson.OPT_SORT_KEYS)
    return text


def decode(text: str | bytes) -> Data:
    """The data of stored JSON text."""
    data: Data = orjson.loads(text)
    return data


def upcast(type_: str, schema_version: int, data: Data, upcasters: Upcasters) -> tuple[int, Data]:
    """The newest schema version that upcasters lead to from this one, and the data in that shape."""
    while (type_, schema_version) in upcasters:
        data = upcasters[type_, schema_version](data)
        schema_version += 1
    return schema_version, data


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
