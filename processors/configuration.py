"""The configuration file: what may stand in it, and messages for a person where it does not fit.

The file is TOML, found as `--config`, else `$FIONA_LEDGER_CONFIG`, else `./fiona-ledger.toml`, else
`/etc/fiona-ledger.toml`. Unknown keys are errors: a misspelt key would otherwise be silently ignored.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ledger.chain import VerifierKey, parse_witness_key
from processors.errors import ConfigurationError
from processors.national_numbers import known_countries, national_numbers
from processors.placeholders import USUAL, Placeholders
from processors.text import without_padding
from processors.trusted_files import require_trusted

VARIABLE = "FIONA_LEDGER_CONFIG"
LOCAL_FILE = Path("fiona-ledger.toml")
SYSTEM_FILE = Path("/etc/fiona-ledger.toml")


_DAY = 24 * 60 * 60
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NAMED_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_HOST = 253
_TOKEN = re.compile(r"[0-9A-Fa-f]{32,}")


def _a_path(given: Any) -> Any:
    if isinstance(given, str) and not given.strip():
        raise ValueError("expected a path, found nothing")  # as a path, it would be the current folder
    if isinstance(given, str) and "\0" in given:
        raise ValueError("expected a path, found a NUL character in it")
    return given


def _printable(given: str) -> str:
    if not given.isprintable():
        raise ValueError("expected printable text, found a control character in it")
    return given


def _file_name(given: str) -> str:
    if not re.fullmatch(r"[\w.-]+", given) or given.startswith("."):
        raise ValueError("expected the name of a credential: letters, digits, dots, _ and -")
    return given


def _web_address(given: str) -> str:
    """The address as it is, if requests can be sent there. The value is not told: it may hold a password."""
    expected = "expected an address such as https://redcap.example/api/"
    if not re.match(r"https?://[^/?#\\]*/", given):
        raise ValueError(f"{expected}: http or https, a host, and a path from its first slash")
    if not given.isprintable() or " " in given:
        raise ValueError(f"{expected}, found a blank or control character in it")
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{expected}, found a host or port that is none") from exc
    if "@" in parts.netloc:
        raise ValueError(f"{expected}, found a user or password in it: REDCap is asked with tokens only")
    if port == 0 or not _is_host(parts.hostname or ""):
        raise ValueError(f"{expected}, found a host or port that is none")
    return given


def _secret_web_address(given: SecretStr) -> SecretStr:
    """A web address that whoever knows it can call: it is not shown."""
    _web_address(given.get_secret_value())
    return given


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_host(name: str) -> bool:
    if ":" in name:
        return _is_address(name)
    try:
        plain = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return len(plain) <= _LONGEST_HOST and _NAMED_HOST.fullmatch(plain) is not None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


FilePath = Annotated[Path, BeforeValidator(_a_path)]


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

    url: Annotated[str, AfterValidator(_printable)] = "embedded"
    data_dir: FilePath = Field(default_factory=_default_data_dir)
    key_file: FilePath = Field(default_factory=_default_key_file)
    key_copy: FilePath | None = None
    site: Annotated[str, AfterValidator(_printable)] = Field(default="main", min_length=1, max_length=64)


class SourceSection(_Section):
    """Where series summaries appear."""

    raw: FilePath = Path("/data/site/raw")
    settle_seconds: float = Field(default=60, ge=0, le=_DAY)


class TokenSource(_Section):
    """Where a REDCap token is found: here, in a file, as a credential of systemd, or in the environment.

    From the environment it may have been taken.
    """

    value: SecretStr | None = None
    file: FilePath | None = None
    credential: Annotated[str, AfterValidator(_file_name)] | None = None
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

    url: Annotated[str, AfterValidator(_web_address)]
    ca_bundle: FilePath | None = None
    calls_per_minute: int = Field(default=300, ge=1, le=60_000)
    batch_rows: int = Field(default=500, ge=1, le=500)
    timeout_seconds: float = Field(default=60, gt=0, le=3600)
    ban_pause_minutes: float = Field(default=15, ge=0, le=7 * 24 * 60)
    insecure: bool = False
    tokens: TokensSection

    @property
    def is_overheard(self) -> bool:
        """Whether tokens and patients' data travel unencrypted to another machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")

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

    tolerance_minutes: float = Field(default=60, ge=5, le=365 * 24 * 60)


class RoutingSection(_Section):
    """How routing patterns are read."""

    match: Literal["prefix", "full"] = "prefix"
    time_limit_seconds: float = Field(default=0.5, gt=0, le=60)


class CouplingSection(_Section):
    """How long an entry of the coupling list may wait for its study before somebody is told."""

    expected_days: float = Field(default=3, gt=0, le=365)


class AutoidSection(_Section):
    """How pseudonyms are drawn, and which PatientIDs stand for nobody."""

    window_days: int = Field(default=14, ge=1, le=36_500)
    generator: FilePath | None = None
    generator_timeout_seconds: float = Field(default=60, gt=0, le=3600)
    placeholders: tuple[str, ...] = USUAL

    @property
    def nobody(self) -> Placeholders:
        """The PatientIDs that stand for nobody."""
        return Placeholders(self.placeholders)


def _country(given: str) -> str:
    if not national_numbers(given):
        raise ValueError(
            f"expected one of the countries whose identity numbers are known: {', '.join(known_countries())}"
        )
    return given


class IdentitySection(_Section):
    """What must be so of a pseudonym before it is used, and whether what is not so is held, shown or let pass."""

    naming: Literal["hold", "show", "off"] = "hold"
    split: Literal["hold", "show"] = "show"
    national_numbers: tuple[Annotated[str, AfterValidator(_country)], ...] = ("no",)


class HealthSection(_Section):
    """When somebody should know that the gateway does not do its work."""

    silent_minutes: float = Field(default=10, gt=0, le=_DAY)
    metrics_file: FilePath | None = None
    ping_url: Annotated[SecretStr, AfterValidator(_secret_web_address)] | None = None
    page: FilePath | None = None

    @property
    def silent_after(self) -> timedelta:
        """For so long no run may get through."""
        return timedelta(minutes=self.silent_minutes)


class WebSection(_Section):
    """Where the page is served, and what may be asked of it. `url` is the ledger's address for what it reads."""

    address: str = "127.0.0.1"
    port: int = Field(default=8642, ge=0, le=65535)
    insecure: bool = False
    url: Annotated[str, AfterValidator(_printable)] | None = None
    patient_search: bool = False
    user_header: str = Field(default="X-Remote-User", pattern=r"^[A-Za-z0-9-]+$")

    @model_validator(mode="after")
    def _is_behind_a_sign_in(self) -> Self:
        if not (self.insecure or _is_loopback(self.address)):
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
    patience_hours: float = Field(default=24, gt=0, le=24 * 365)
    information: frozenset[int] = frozenset({3})

    @model_validator(mode="after")
    def _queue_needs_withdrawn(self) -> Self:
        if self.queue is not None and self.withdrawn is None:
            raise ValueError("expected sender.withdrawn beside sender.queue: the folder to take requests back into")
        return self

    @property
    def information_codes(self) -> frozenset[str]:
        """The codes as REDCap's columns name them."""
        return frozenset(map(str, self.information))


def _witness_key(given: str) -> str:
    parse_witness_key(given)
    return given


class WitnessSection(_Section):
    """Somebody elsewhere who countersigns checkpoints, asked by a command or through a folder."""

    key: Annotated[str, AfterValidator(_printable), AfterValidator(_witness_key)]
    command: tuple[Annotated[str, AfterValidator(_printable)], ...] = ()
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
    timestamp_url: Annotated[str, AfterValidator(_web_address)] | None = None
    timestamp_roots: FilePath | None = None
    folder: FilePath | None = None
    time_limit_seconds: float = Field(default=30, gt=0, le=600)

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


class _TomlSource(TomlConfigSettingsSource):
    """A TOML file as editors leave it, with a byte order mark or without."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        content: bytes = file_path.read_bytes()
        if content.startswith(_UTF_16):
            raise ConfigurationError(
                f"The configuration {file_path} cannot be read: expected UTF-8, found UTF-16, as editors on Windows "
                'write it for "Unicode". Save it as UTF-8.'
            )
        return tomllib.loads(content.decode("utf-8-sig"))


class Configuration(BaseSettings):
    """The whole configuration. Without a section for REDCap, it serves commands that look at the ledger alone."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

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

    @property
    def redcap(self) -> RedcapSection:
        """How REDCap is reached. Raises `ConfigurationError` where the configuration does not say."""
        if self.redcap_section is None:
            raise ConfigurationError(
                "The configuration has no section [redcap] with url and tokens. Commands that look at the ledger alone "
                "need none; this one does."
            )
        return self.redcap_section

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the caller passes all four by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file alone: a stray environment variable must not send patients' data elsewhere."""
        return (init_settings, _TomlSource(settings_cls))


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration in `path`, or where it is usually found. Raises `ConfigurationError`."""
    file = find(path, environment)
    require_trusted(file, "The configuration")

    class FromFile(Configuration):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return FromFile()
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{file} is not valid TOML: {exc}.") from exc
    except ValidationError as exc:
        raise ConfigurationError(_explained(file, exc)) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"The configuration {file} cannot be read: {_words(exc)}.") from exc


def parse(text: str, name: str) -> Configuration:
    """The configuration in a text, which `name` stands for in what is said of it. Raises `ConfigurationError`."""
    try:
        return Configuration(**tomllib.loads(text))
    except ValidationError as exc:
        raise ConfigurationError(_explained(name, exc)) from exc


def find(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The configuration file that applies. Raises `ConfigurationError` where there is none."""
    named = path or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigurationError(f"The configuration {named} does not exist or is not a file.")
        return named
    for candidate in (LOCAL_FILE, SYSTEM_FILE):
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"No configuration found: expected --config FILE, ${VARIABLE}, ./{LOCAL_FILE} or {SYSTEM_FILE}."
    )


def withhold(configuration: Configuration, environment: MutableMapping[str, str]) -> Configuration:
    """The configuration with the tokens that `environment` holds, which are gone from there afterwards."""
    if configuration.redcap_section is None:
        return configuration
    tokens = configuration.redcap_section.tokens
    taken = {
        name: source.model_copy(update={"value": SecretStr(environment[source.env])})
        for name, source in tokens
        if source is not None and source.env is not None and source.env in environment
    }
    for source in taken.values():
        # Several tokens may be found under one name.
        environment.pop(source.env, None)
    redcap = configuration.redcap_section.model_copy(update={"tokens": tokens.model_copy(update=taken)})
    return configuration.model_copy(update={"redcap_section": redcap})


def resolve(source: TokenSource, name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The token itself. Raises `ConfigurationError`; no message ever shows a token."""
    setting = f"redcap.tokens.{name}"
    if any(_TOKEN.search(str(place)) for place in (source.env, source.credential, source.file)):
        raise ConfigurationError(
            f"{setting}: expected the name of a file or variable, found what looks like a token itself. Write it as "
            f'{name} = "...", and have the token replaced if others have seen it where it stood.'
        )
    if source.env is not None:
        token = source.value.get_secret_value() if source.value is not None else environment.get(source.env, "")
        setting += f" (environment variable {source.env})"
    elif source.value is not None:
        token = source.value.get_secret_value()
    else:
        file = source.file or _credential(source.credential or "", setting, environment)
        setting += f" (file {file})"
        require_trusted(file, f"{setting}: the file", secret=True)
        try:
            token = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"{setting}: the file cannot be read: {_words(exc)}.") from exc
    token = without_padding(token)
    if not token:
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found nothing.")
    if len(token.split()) > 1:
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found several words.")
    if not (token.isascii() and token.isprintable()):
        raise ConfigurationError(f"{setting}: expected a REDCap API token, found characters that none has.")
    return token


def _credential(name: str, setting: str, environment: Mapping[str, str]) -> Path:
    """The file in which systemd hands a credential to what it starts."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigurationError(
            f"{setting}: expected the credential {name} from systemd, which did not start this command. Give it as "
            'root with `fiona-ledger-as-service`; where cron starts it, name a file: { file = "..." }.'
        )
    return Path(folder, name)


def _explained(file: Path | str, exc: ValidationError) -> str:
    """One line a problem: which key, and what was expected. The value is not shown: it may be a token."""
    lines = []
    for problem in exc.errors(include_input=False, include_url=False):
        key = ".".join(_TOKEN.sub("…", str(part)) for part in problem["loc"])
        words = "this key is unknown" if problem["type"] == "extra_forbidden" else problem["msg"]
        words = words.removeprefix("Value error, ")
        lines.append(f"{key}: {words}")
    return f"{file} cannot be used:\n  " + "\n  ".join(lines)


def _words(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or type(exc).__name__
