"""The parameters of one call, read as PHP reads them: forms, multipart, arrays like `records[0]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

_ARRAY_NAME = re.compile(r"(?P<name>[^\[]+)\[(?P<key>[^\]]*)\]")
_TRUE = ("1", "true", "yes", "y")


@dataclass(kw_only=True)
class Parameters:
    """What a call says: single values by name, and arrays in the order in which their members came."""

    values: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, dict[str, str]] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """The value of a parameter, or the default where it is absent or blank."""
        return self.values.get(name) or default

    def flag(self, name: str) -> bool:
        """Whether a boolean is on: `1`, `true` or Python's `True`; `False` and `0` are off."""
        return self.text(name).strip().lower() in _TRUE

    def array(self, name: str) -> list[str]:
        """The members of an array parameter; empty where it is absent."""
        return list(self.arrays.get(name, {}).values())


def read_parameters(body: bytes, content_type: str, *, max_input_vars: int, post_max_size: int) -> Parameters:
    """Read a form or multipart body.

    PHP drops every variable after the `max_input_vars`-th without a word, and the whole body when it is
    larger than `post_max_size`: the call then has no parameters at all, not even its token.
    """
    if len(body) > post_max_size:
        return Parameters()
    if content_type.lower().startswith("multipart/form-data"):
        pairs = _multipart_pairs(body, _boundary(content_type), max_input_vars)
    else:
        pairs = _form_pairs(body, max_input_vars)
    return _as_parameters(pairs)


def _as_parameters(pairs: Iterable[tuple[str, str]]) -> Parameters:
    parameters = Parameters()
    for name, value in pairs:
        array = _ARRAY_NAME.match(name)
        if array is None:
            parameters.values[name] = value
            continue
        members = parameters.arrays.setdefault(array["name"], {})
        members[array["key"] or f"#{len(members)}"] = value
    return parameters


def _form_pairs(body: bytes, limit: int) -> Iterable[tuple[str, str]]:
    for part in body.split(b"&", limit)[:limit]:
        name, _equals, value = part.replace(b"+", b" ").partition(b"=")
        if name:
            yield _decoded(name), _decoded(value)


def _decoded(text: bytes) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["content-type"] = content_type
    return str(header.get_param("boundary", "")).encode()


def _multipart_pairs(body: bytes, boundary: bytes, limit: int) -> Iterable[tuple[str, str]]:
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]
    count = 0
    for part in parts:
        head, blank, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        # Parts with a file name are uploads, which PHP keeps apart from the parameters.
        if not blank or name is None or b"filename=" in head:
            continue
        count += 1
        if count > limit:
            return
        yield name[1].decode("utf-8", "replace"), value.decode("utf-8", "replace")
