"""What systemd is told by a service of Type=notify (sd_notify(3)): a datagram to the socket that it names."""

import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

_OFTEN_ENOUGH_SECONDS: Final = 1


class Systemd:
    """systemd, where it has started this process and wants to be told; else nobody."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        # Taken away: what this process starts is not to speak for it.
        self._address = environment.pop("NOTIFY_SOCKET", "")
        self._alive_at = -float(_OFTEN_ENOUGH_SECONDS)

    def tell(self, *assignments: str) -> None:
        """Tells it, such as READY=1. That it does not listen stops nothing."""
        if not self._address:
            return
        # An abstract socket is written with an @ for its NUL.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto("\n".join(assignments).encode(), address)

    def alive(self) -> None:
        """Has its watchdog wait anew: the work goes on. It may be called for each of a thousand files."""
        if self._address and time.monotonic() - self._alive_at >= _OFTEN_ENOUGH_SECONDS:
            self._alive_at = time.monotonic()
            self.tell("WATCHDOG=1")
