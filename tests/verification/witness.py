"""A witness, as C2SP's tlog-witness and tlog-cosignature describe it, of which the state is a file.

    python witness.py STATE SITE_KEY < request

It prints what one with an HTTP interface would answer; where that would be an error, it ends with the first digit.
"""

import base64
import hashlib
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.chain import Broken, VerifierKey, parse_checkpoint, parse_kept_checkpoint, parse_key, verify_consistency

NAME = "witness.example/w1"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEY = VerifierKey(NAME, PUBLIC, b"\x04")
SEEN_AT = 1_679_315_147


def cosignature(body: str, *, seen_at: int = SEEN_AT, name: str = NAME) -> str:
    """The line that the witness puts below a checkpoint with that text."""
    message = f"cosignature/v1\ntime {seen_at}\n{body}"
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + PUBLIC).digest()[:4]
    signed = key_id + struct.pack(">Q", seen_at) + PRIVATE.sign(message.encode())
    return f"— {name} {base64.b64encode(signed).decode()}\n"


def answer(state: Path, site: VerifierKey, request: str) -> tuple[int, str]:
    """The status and body of the answer."""
    note = parse_kept_checkpoint(request.partition("\n\n")[2])
    old = int(request.split("\n")[0].removeprefix("old "))
    seen = parse_checkpoint(state.read_text()) if state.exists() else None
    if old != (seen.size if seen else 0):
        return 409, f"{seen.size if seen else 0}\n"
    try:
        note.is_signed(site)
        if seen is not None:
            verify_consistency(request, seen, site)
    except Broken:
        return 422, ""
    except ValueError:
        return 403, ""
    state.write_text(note.note)
    return 200, cosignature(note.checkpoint.as_text())


if __name__ == "__main__":
    status, body = answer(Path(sys.argv[1]), parse_key(sys.argv[2]), sys.stdin.read())
    sys.stdout.write(body)
    sys.exit(status // 100 if status in (403, 422) else 0)
