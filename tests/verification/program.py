"""The program's commands, started within the test's process on a configuration of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from processors.cli.main import app

_UNREACHED = ("http://127.0.0.1:1/api/", {"incoming": "A", "coupling": "B", "routing": "C"})


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass
class Program:
    """`fiona-ledger` with a configuration file."""

    config: Path

    def __call__(self, *arguments: str, given: str | None = None) -> Ended:
        ended = CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=given)
        return Ended(ended.exit_code, ended.stdout, ended.stderr)


def configured(
    folder: Path,
    *,
    url: str,
    key_file: Path,
    site: str = "main",
    raw: Path | None = None,
    redcap: tuple[str, Mapping[str, str]] = _UNREACHED,
) -> Program:
    """A program with these settings; `redcap` is an address and its tokens."""
    address, tokens = redcap
    config = folder / f"{site}.toml"
    lines = [
        "[ledger]",
        f"url = {json.dumps(url)}",
        f"data_dir = {json.dumps(str(folder / 'data'))}",
        f"key_file = {json.dumps(str(key_file))}",
        f"site = {json.dumps(site)}",
        "[source]",
        f"raw = {json.dumps(str(raw or folder / 'raw'))}",
        "[redcap]",
        f"url = {json.dumps(address)}",
        "[redcap.tokens]",
        *(f"{name} = {json.dumps(token)}" for name, token in tokens.items()),
    ]
    config.write_text("\n".join(lines) + "\n")
    return Program(config)
