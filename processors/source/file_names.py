"""The names of files and folders as text that can be shown and stored."""

import os

from processors import bounds
from processors.source import summary

_MAX_NAME = 127


def key_of(name: str) -> str:
    """A file's name as text that can be shown and stored: itself where it is a UID.

    Names are bytes to the file system. What is no text, or no printable one, is escaped, and what
    is long is cut, with a hash of the whole in place of the rest to keep names apart.
    """
    if summary.is_uid(name):
        return name
    encoded = os.fsencode(name)
    text = encoded.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return bounds.cut(text, _MAX_NAME, whole=encoded)


def path_of(folder_key: str, entry_key: str) -> str:
    """The path under which events and rejections name a file: at most 255 characters."""
    return f"{folder_key}/{entry_key}" if entry_key else folder_key
