"""Where a redirected call may be sent again: the call carries a token."""

from urllib.parse import SplitResult, urljoin, urlsplit

FOLLOWED = (301, 302, 307, 308)


def target(url: str, location: str) -> str:
    """The address to post to again. Raises `ValueError`, saying why, where the token must not go there.

    It may go to the same server, or from http to https on the same host. Never from https to http, where
    anybody on the way could read it, and never to another host: a login page elsewhere is not REDCap.
    """
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    if new.scheme not in ("http", "https") or not new.hostname:
        raise ValueError("it is not an http address")
    if new.username or new.password:
        raise ValueError("it holds a password")
    if old.scheme == "https" and new.scheme == "http":
        raise ValueError("the token would travel unencrypted")
    if old.hostname != new.hostname:
        raise ValueError("the token would go to another server")
    if old.scheme == new.scheme and _port(old) != _port(new):
        raise ValueError("the token would go to another port")
    return new.geturl()


def shown(url: str, location: str) -> str:
    """The address that a redirect names, without anything in it that could be confidential."""
    try:
        new = urlsplit(urljoin(url, location))
        port = f":{new.port}" if new.port else ""
    except ValueError:
        return "what is no address"
    return f"{new.scheme}://{new.hostname or ''}{port}{new.path}"


def _port(address: SplitResult) -> int:
    return address.port or {"http": 80, "https": 443}[address.scheme]
