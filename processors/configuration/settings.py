"""The sections of the configuration and their keys.

Unknown keys are errors: a misspelt key would otherwise be silently ignored.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from ledger.chain import VerifierKey, parse_witness_key
from processors.configuration.values import (
    Country,
    CredentialName,
    FilePath,
    Number,
    Printable,
    SecretWebAddress,
    Switch,
    WebAddress,
    Whole,
    WitnessKey,
    is_loopback,
)
from processors.errors import ConfigurationError
from processors.placeholders import USUAL, Placeholders

_DAY = 24 * 60 * 60


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/fiona-ledger")
    return _at_home(platformdirs.user_data_path)


def _default_key_file() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/fiona-ledger/vault.key")
    return _at_home(platformdirs.user_config_path) / "vault.key"


def _at_home(folder_of: Callable[[str], Path]) -> Path:
    """The program's folder below the user's. A service may run under a number without account, and have none."""
    try:
        folder = folder_of("fiona-ledger")
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():
        raise ConfigurationError(
            f"The user {os.geteuid()} has no home folder ($HOME is not set): name ledger.data_dir and "
            "ledger.key_file in the configuration."
        )
    return folder


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LedgerSection(_Section):
    """Where the ledger is kept."""

    url: Printable = "embedded"
    data_dir: FilePath = Field(default_factory=_default_data_dir)
    idle_minutes: Number = Field(default=5, ge=0, le=24 * 60)
    key_file: FilePath = Field(default_factory=_default_key_file)
    key_copy: FilePath | None = None
    site: Printable = Field(default="main", min_length=1, max_length=64)

    @property
    def stays(self) -> timedelta:
        """For so long an embedded PostgreSQL stays when nobody uses it."""
        return timedelta(minutes=self.idle_minutes)


class SourceSection(_Section):
    """Where series summaries appear."""

    raw: FilePath = Path("/data/site/raw")
    settle_seconds: Number = Field(default=60, ge=0, le=_DAY)


class TokenSource(_Section):
    """Where a REDCap token is found: here, in a file, as a credential of systemd, or in the environment.

    From the environment it may have been taken.
    """

    value: SecretStr | None = None
    file: FilePath | None = None
    credential: CredentialName | None = None
    env: str | None = None


def _token_source(given: Any) -> Any:
    if isinstance(given, str):
        return {"value": given}
    if isinstance(given, dict) and len(given) == 1 and set(given) <= {"file", "credential", "env"}:
        return given
    raise ValueError('expected a token, { file = "..." }, { credential = "..." } or { env = "..." }')


Token = Annotated[TokenSource, BeforeValidator(_token_source)]


class TokensSection(_Section):
    """One token for each REDCap project."""

    incoming: Token
    coupling: Token
    routing: Token
    projects: Token | None = None
    autoid: Token | None = None
    transfers: Token | None = None
    withdrawals: Token | None = None


class RedcapSection(_Section):
    """The REDCap server and how hard it may be asked."""

    url: WebAddress
    ca_bundle: FilePath | None = None
    calls_per_minute: Whole = Field(default=300, ge=1, le=60_000)
    batch_rows: Whole = Field(default=500, ge=1, le=500)
    timeout_seconds: Number = Field(default=60, gt=0, le=3600)
    ban_pause_minutes: Number = Field(default=15, ge=0, le=7 * 24 * 60)
    insecure: Switch = False
    tokens: TokensSection

    @property
    def is_overheard(self) -> bool:
        """Whether tokens and patients' data travel unencrypted to another machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        if self.is_overheard and not self.insecure:
            raise ValueError(
                "expected https in redcap.url: over http, anybody on the way reads tokens and patients' data. "
                "Where the network allows nothing else, say redcap.insecure = true"
            )
        return self


class ClockSection(_Section):
    """How far this machine's clock may be from PostgreSQL's and REDCap's before nothing is decided by it."""

    tolerance_minutes: Number = Field(default=60, ge=5, le=365 * 24 * 60)


class RoutingSection(_Section):
    """How routing patterns are read."""

    match: Literal["prefix", "full"] = "prefix"
    time_limit_seconds: Number = Field(default=0.5, gt=0, le=60)


class CouplingSection(_Section):
    """How long an entry of the coupling list may wait for its study before somebody is told."""

    expected_days: Number = Field(default=3, gt=0, le=365)


class AutoidSection(_Section):
    """How pseudonyms are drawn, and which PatientIDs stand for nobody."""

    window_days: Whole = Field(default=14, ge=1, le=36_500)
    generator: FilePath | None = None
    generator_timeout_seconds: Number = Field(default=60, gt=0, le=3600)
    placeholders: tuple[str, ...] = USUAL

    @property
    def nobody(self) -> Placeholders:
        """The PatientIDs that stand for nobody."""
        return Placeholders(self.placeholders)


class IdentitySection(_Section):
    """What must be so of a pseudonym before it is used, and whether what is not so is held, shown or let pass."""

    naming: Literal["hold", "show", "off"] = "hold"
    split: Literal["hold", "show"] = "show"
    national_numbers: tuple[Country, ...] = ("no",)


class HealthSection(_Section):
    """When somebody should know that the gateway does not do its work."""

    silent_minutes: Number = Field(default=10, gt=0, le=_DAY)
    metrics_file: FilePath | None = None
    ping_url: SecretWebAddress | None = None
    page: FilePath | None = None

    @property
    def silent_after(self) -> timedelta:
        """For so long no run may get through."""
        return timedelta(minutes=self.silent_minutes)


class WebSection(_Section):
    """Where the page is served, and what may be asked of it. `url` is the ledger's address for what it reads."""

    address: str = "127.0.0.1"
    port: Whole = Field(default=8642, ge=0, le=65535)
    insecure: Switch = False
    url: Printable | None = None
    patient_search: Switch = False
    user_header: str = Field(default="X-Remote-User", pattern=r"^[A-Za-z0-9-]+$")

    @model_validator(mode="after")
    def _is_behind_a_sign_in(self) -> Self:
        if not (self.insecure or is_loopback(self.address)):
            raise ValueError(
                "expected an address of this machine alone in web.address, such as 127.0.0.1: the page asks nobody who "
                "they are, and the web server before it does. Where that is meant all the same, say web.insecure = true"
            )
        return self


class SenderSection(_Section):
    """What is known of the programs that carry requests out: their folders, where they are on this machine.

    `patience_hours` is how long what may have been sent is waited for without a word; `information` are codes
    of transfer_error that are no errors.
    """

    queue: FilePath | None = None
    done: FilePath | None = None
    fail: FilePath | None = None
    withdrawn: FilePath | None = None
    patience_hours: Number = Field(default=24, gt=0, le=24 * 365)
    information: frozenset[Whole] = frozenset({3})

    @model_validator(mode="after")
    def _queue_needs_withdrawn(self) -> Self:
        if self.queue is not None and self.withdrawn is None:
            raise ValueError("expected sender.withdrawn beside sender.queue: the folder to take requests back into")
        return self

    @property
    def information_codes(self) -> frozenset[str]:
        """The codes as REDCap's columns name them."""
        return frozenset(map(str, self.information))


class WitnessSection(_Section):
    """Somebody elsewhere who countersigns checkpoints, asked by a command or through a folder."""

    key: WitnessKey
    command: tuple[Printable, ...] = ()
    folder: FilePath | None = None

    @property
    def verifier_key(self) -> VerifierKey:
        """The key with which its cosignatures are verified."""
        return parse_witness_key(self.key)

    @model_validator(mode="after")
    def _is_asked_in_one_way(self) -> Self:
        if bool(self.command) == (self.folder is not None):
            raise ValueError("expected either command, a list of words, or folder: how the witness is asked")
        return self


class ProofSection(_Section):
    """Who vouches elsewhere that the ledger was only appended to, and where that is kept."""

    witnesses: tuple[WitnessSection, ...] = ()
    timestamp_url: WebAddress | None = None
    timestamp_roots: FilePath | None = None
    folder: FilePath | None = None
    time_limit_seconds: Number = Field(default=5, gt=0, le=10)

    @property
    def has_givers(self) -> bool:
        """Whether anybody vouches."""
        return bool(self.witnesses) or self.timestamp_url is not None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.timestamp_url is None) != (self.timestamp_roots is None):
            raise ValueError("expected timestamp_url and timestamp_roots together, or neither of them")
        names = [witness.verifier_key.name for witness in self.witnesses]
        if len(set(names)) != len(names):
            raise ValueError("expected each witness once, found two with one name in their keys")
        return self


class Configuration(_Section):
    """The whole configuration. Without a section for REDCap, it serves commands that look at the ledger alone.

    It comes from the file alone: a stray environment variable must not send patients' data elsewhere.
    """

    ledger: LedgerSection = Field(default_factory=LedgerSection)
    source: SourceSection = SourceSection()
    redcap_section: RedcapSection | None = Field(default=None, alias="redcap")
    clock: ClockSection = ClockSection()
    routing: RoutingSection = RoutingSection()
    coupling: CouplingSection = CouplingSection()
    autoid: AutoidSection = AutoidSection()
    sender: SenderSection = SenderSection()
    identity: IdentitySection = IdentitySection()
    health: HealthSection = HealthSection()
    web: WebSection = WebSection()
    proof: ProofSection = ProofSection()
    _file: Path | None = PrivateAttr(default=None)

    def read_from(self, file: Path) -> Self:
        """The same, which knows its file."""
        self._file = file
        return self

    @property
    def file(self) -> Path | None:
        """The file that it was read from; None where it was read from none."""
        return self._file

    @property
    def redcap(self) -> RedcapSection:
        """How REDCap is reached. Raises `ConfigurationError` where the configuration does not say."""
        if self.redcap_section is None:
            raise ConfigurationError(
                "The configuration has no section [redcap] with url and tokens. Commands that look at the ledger alone "
                "need none; this one does."
            )
        return self.redcap_section
