import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processors.configuration import file as configuration_file
from processors.configuration.file import find, load, resolve, withhold
from processors.configuration.settings import LedgerSection, TokenSource
from processors.errors import ConfigurationError

TOKEN = "0123456789ABCDEF0123456789ABCDEF"

MINIMAL = f"""
[redcap]
url = "https://redcap.example/api/"
[redcap.tokens]
incoming = "{TOKEN}"
coupling = {{ file = "/run/credentials/coupling" }}
routing = {{ env = "REDCAP_TOKEN_ROUTING" }}
"""

COMPLETE = """
[ledger]
url = "postgresql://ledger@db1,db2/ledger"
data_dir = "/srv/ledger"
idle_minutes = 0.5
key_file = "/srv/keys/vault.key"
key_copy = "/mnt/safe/vault.key"
site = "north"
[source]
raw = "/srv/raw"
settle_seconds = 0.5
[redcap]
url = "http://localhost:8080/api/"
ca_bundle = "/etc/ssl/hospital-ca.pem"
calls_per_minute = 100
batch_rows = 50
timeout_seconds = 5
ban_pause_minutes = 1.5
[redcap.tokens]
incoming = "a"
coupling = "b"
routing = "c"
projects = "d"
autoid = "e"
transfers = "f"
[routing]
match = "full"
time_limit_seconds = 0.1
[autoid]
window_days = 3
generator = "/srv/gen-id"
"""


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "configuration.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(written(folder, content))
    message = str(caught.value)
    assert TOKEN not in message
    assert str(folder / "configuration.toml") in message
    return message


def with_line(section: str, line: str) -> str:
    """The minimal configuration with one more line in a section."""
    head = f"[{section}]\n"
    if head in MINIMAL:
        return MINIMAL.replace(head, f"{head}{line}\n")
    return f"{MINIMAL}{head}{line}\n"


def test_three_tokens_and_an_address_are_enough(tmp_path: Path) -> None:
    found = load(written(tmp_path, MINIMAL))
    assert found.ledger.url == "embedded"
    assert found.ledger.site == "main"
    assert found.source.raw == Path("/data/site/raw")
    assert (found.source.settle_seconds, found.redcap.timeout_seconds) == (60, 60)
    assert (found.redcap.calls_per_minute, found.redcap.batch_rows) == (300, 500)
    assert (found.routing.match, found.autoid.window_days) == ("prefix", 14)
    assert found.redcap.tokens.transfers is None


def test_everything_can_be_set(tmp_path: Path) -> None:
    found = load(written(tmp_path, COMPLETE))
    assert found.ledger.model_dump() == {
        "url": "postgresql://ledger@db1,db2/ledger",
        "data_dir": Path("/srv/ledger"),
        "idle_minutes": 0.5,
        "key_file": Path("/srv/keys/vault.key"),
        "key_copy": Path("/mnt/safe/vault.key"),
        "site": "north",
    }
    assert found.ledger.stays == timedelta(seconds=30)
    assert found.source.settle_seconds == 0.5
    assert (found.redcap.calls_per_minute, found.redcap.batch_rows) == (100, 50)
    assert (found.routing.match, found.autoid.generator) == ("full", Path("/srv/gen-id"))
    assert found.redcap.tokens.transfers == TokenSource(value=SecretStr("f"))


@pytest.mark.parametrize(
    ("section", "line", "key"),
    [
        ("ledger", "urll = 'embedded'", "ledger.urll"),
        ("source", "row = '/data'", "source.row"),
        ("redcap", "verify = false", "redcap.verify"),
        ("redcap.tokens", f"inbox = '{TOKEN}'", "redcap.tokens.inbox"),
        ("routing", "mode = 'full'", "routing.mode"),
        ("autoid", "window = 1", "autoid.window"),
        ("extra", "x = 1", "extra"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path, section: str, line: str, key: str) -> None:
    assert f"\n  {key}: this key is unknown" in refusal(tmp_path, with_line(section, line))


@pytest.mark.parametrize(
    ("section", "line", "key", "expected"),
    [
        ("ledger", "data_dir = 5", "ledger.data_dir", "path"),
        ("ledger", "data_dir = ' '", "ledger.data_dir", "expected a path, found nothing"),
        ("ledger", "key_file = ''", "ledger.key_file", "expected a path, found nothing"),
        ("ledger", "url = 5", "ledger.url", "valid string"),
        ("ledger", "site = ''", "ledger.site", "at least 1 character"),
        ("source", "raw = ''", "source.raw", "expected a path, found nothing"),
        ("ledger", "idle_minutes = -1", "ledger.idle_minutes", "greater than or equal to 0"),
        ("ledger", "idle_minutes = 1441", "ledger.idle_minutes", "less than or equal to 1440"),
        ("source", "settle_seconds = -1", "source.settle_seconds", "greater than or equal to 0"),
        ("source", "settle_seconds = inf", "source.settle_seconds", "finite number"),
        ("source", "settle_seconds = nan", "source.settle_seconds", "finite number"),
        ("redcap", "calls_per_minute = 0", "redcap.calls_per_minute", "greater than or equal to 1"),
        ("redcap", "calls_per_minute = 'many'", "redcap.calls_per_minute", "valid integer"),
        ("redcap", "calls_per_minute = true", "redcap.calls_per_minute", "valid integer"),
        ("redcap", "calls_per_minute = '300'", "redcap.calls_per_minute", "valid integer"),
        ("redcap", "timeout_seconds = true", "redcap.timeout_seconds", "valid number"),
        ("redcap", "insecure = 1", "redcap.insecure", "valid boolean"),
        ("sender", "information = [true]", "sender.information.0", "valid integer"),
        ("redcap", "batch_rows = 501", "redcap.batch_rows", "less than or equal to 500"),
        ("redcap", "batch_rows = 1.5", "redcap.batch_rows", "valid integer"),
        ("redcap", "timeout_seconds = 0", "redcap.timeout_seconds", "greater than 0"),
        ("redcap", "timeout_seconds = inf", "redcap.timeout_seconds", "finite number"),
        ("redcap", "ca_bundle = ''", "redcap.ca_bundle", "expected a path, found nothing"),
        ("routing", "match = 'suffix'", "routing.match", "'prefix' or 'full'"),
        ("autoid", "window_days = 0", "autoid.window_days", "greater than or equal to 1"),
        ("source", "settle_seconds = 1e300", "source.settle_seconds", "less than or equal to 86400"),
        ("redcap", "calls_per_minute = 99999999999", "redcap.calls_per_minute", "less than or equal to 60000"),
        ("redcap", "timeout_seconds = 1e300", "redcap.timeout_seconds", "less than or equal to 3600"),
        ("redcap", "ban_pause_minutes = 1e300", "redcap.ban_pause_minutes", "less than or equal to 10080"),
        ("routing", "time_limit_seconds = 1e300", "routing.time_limit_seconds", "less than or equal to 60"),
        ("autoid", "window_days = 99999999999", "autoid.window_days", "less than or equal to 36500"),
        ("autoid", "generator_timeout_seconds = 1e300", "autoid.generator_timeout_seconds", "less than or equal to 36"),
        ("ledger", r'site = "a\u0000"', "ledger.site", "found a control character"),
        ("ledger", r'url = "postgresql://a\u0000"', "ledger.url", "found a control character"),
        ("ledger", r'key_file = "/a\u0000"', "ledger.key_file", "found a NUL character"),
        ("source", r'raw = "/a\u0000"', "source.raw", "found a NUL character"),
        ("redcap", r'ca_bundle = "/a\u0000"', "redcap.ca_bundle", "found a NUL character"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_says_what_was_expected(
    tmp_path: Path, section: str, line: str, key: str, expected: str
) -> None:
    message = refusal(tmp_path, with_line(section, line))
    (problem,) = message.splitlines()[1:]
    assert problem.startswith(f"  {key}: ")
    assert expected in problem


def test_a_section_of_another_type_is_an_error(tmp_path: Path) -> None:
    assert "\n  ledger: " in refusal(tmp_path, f"ledger = 'embedded'\n{MINIMAL}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redcap.example",
        "ftp://redcap.example/api/",
        "https://redcap.example",
        "https:///api/",
        "https://:443/api/",
        "https://redcap.example:port/api/",
        "https://redcap.example:99999/api/",
        "https://redcap.example:0/api/",
        "https://redcap..example/api/",
        f"https://{'a' * 64}.example/api/",
        f"https://{'a.' * 150}example/api/",
        "https://[::1/api/",
        "https://[redcap]/api/",
        "https://red cap.example/api/",
        "https://*.example/api/",
        r"https://redcap.example\\@elsewhere/api/",
        r"https://redcap.example/api\u0000/",
        r"https://redcap.example/api/\n",
    ],
)
def test_an_address_of_redcap_that_is_none_is_an_error(tmp_path: Path, url: str) -> None:
    expected = "redcap.url: expected an address such as https://redcap.example/api/"
    assert expected in refusal(tmp_path, MINIMAL.replace("https://redcap.example/api/", url))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/api/",
        "https://[::1]:8443/redcap/api/",
        "https://redcap/",
        "https://rød-cap.example/redcap_v14/api/?x=1",
        "https://red_cap.example.:443/api/",
    ],
)
def test_an_address_of_redcap_may_name_any_host_and_port(tmp_path: Path, url: str) -> None:
    assert load(written(tmp_path, MINIMAL.replace("https://redcap.example/api/", url))).redcap.url == url


@pytest.mark.parametrize(
    "given",
    [
        "5",
        "{}",
        "['0123456789ABCDEF0123456789ABCDEF']",
        "{ value = '0123456789ABCDEF0123456789ABCDEF' }",
        "{ file = '/x', env = 'X' }",
        "{ file = '/x', token = '0123456789ABCDEF0123456789ABCDEF' }",
    ],
)
def test_a_token_in_another_form_is_an_error_that_does_not_show_it(tmp_path: Path, given: str) -> None:
    content = with_line("redcap.tokens", f"autoid = {given}")
    expected = 'redcap.tokens.autoid: expected a token, { file = "..." }, { credential = "..." } or { env = "..." }'
    assert expected in refusal(tmp_path, content)


def test_without_redcap_it_serves_those_who_look_at_the_ledger_alone(tmp_path: Path) -> None:
    alone = load(written(tmp_path, "[ledger]\nsite = 'north'\n"))
    assert alone.ledger.site == "north"
    with pytest.raises(ConfigurationError, match=r"no section \[redcap\]"):
        assert alone.redcap
    assert withhold(alone, {}) == alone


def test_missing_tokens_are_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, MINIMAL.replace("incoming", "autoid"))
    assert "redcap.tokens.incoming: Field required" in message


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    content = with_line("ledger", "urll = 1").replace("[redcap]\n", "[redcap]\nbatch_rows = 0\n")
    assert len(refusal(tmp_path, content).splitlines()) == 3


@pytest.mark.parametrize(
    "content",
    ["[ledger", f"incoming = {TOKEN}", f'token = "{TOKEN}', "a = 1\na = 2", "\x00"],
)
def test_broken_toml_is_an_error_that_shows_none_of_it(tmp_path: Path, content: str) -> None:
    assert "is not valid TOML" in refusal(tmp_path, content)


def test_bytes_that_are_not_utf8_are_an_error(tmp_path: Path) -> None:
    expected = "cannot be read: expected UTF-8, found other bytes in line 2"
    assert expected in refusal(tmp_path, b"[ledger]\nsite = '\xe6'")


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_named_file_that_is_none_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist or is not a file"):
        load(tmp_path / name)


def test_a_stray_environment_variable_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER", '{"url": "postgresql://elsewhere/x"}')
    monkeypatch.setenv("REDCAP", '{"url": "https://elsewhere.example/api/"}')
    found = load(written(tmp_path, MINIMAL))
    assert (found.ledger.url, found.redcap.url) == ("embedded", "https://redcap.example/api/")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Every place where a configuration may lie, with one in each."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(configuration_file, "SYSTEM_FILE", tmp_path / "etc.toml")
    places = {
        "option": tmp_path / "option.toml",
        "variable": tmp_path / "variable.toml",
        "local": Path("fiona-ledger.toml"),
        "system": tmp_path / "etc.toml",
    }
    for path in places.values():
        path.touch()
    return places


def test_the_file_is_sought_where_the_option_says_then_the_variable_then_here_then_in_etc(
    places: dict[str, Path],
) -> None:
    environment = {"FIONA_LEDGER_CONFIG": str(places["variable"])}
    assert find(places["option"], environment) == places["option"]
    assert find(None, environment) == places["variable"]
    assert find(None, {"FIONA_LEDGER_CONFIG": ""}) == places["local"]
    places["local"].unlink()
    assert find(None, {}) == places["system"]


@pytest.mark.usefixtures("places")
def test_a_variable_that_names_no_file_is_an_error_and_not_passed_over() -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml does not exist"):
        find(None, {"FIONA_LEDGER_CONFIG": "/nowhere/gone.toml"})


def test_where_there_is_no_file_the_error_names_all_places(places: dict[str, Path]) -> None:
    for name in ("local", "system"):
        places[name].unlink()
    with pytest.raises(ConfigurationError) as caught:
        load(None, {})
    for place in ("--config FILE", "$FIONA_LEDGER_CONFIG", "./fiona-ledger.toml", str(places["system"])):
        assert place in str(caught.value)


def test_for_root_everything_lies_in_the_systems_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    section = LedgerSection()
    assert section.data_dir == Path("/var/lib/fiona-ledger")
    assert section.key_file == Path("/etc/fiona-ledger/vault.key")


def test_for_others_everything_lies_in_their_own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for variable, folder in (("HOME", "."), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    section = LedgerSection()
    assert tmp_path in section.data_dir.parents
    assert tmp_path in section.key_file.parents
    assert (section.data_dir.name, section.key_file.name) == ("fiona-ledger", "vault.key")


def test_the_system_file_is_in_etc() -> None:
    assert Path("/etc/fiona-ledger.toml") == configuration_file.SYSTEM_FILE


def token_of(**source: Any) -> TokenSource:
    return TokenSource.model_validate(source)


def test_a_token_stands_in_the_configuration_itself() -> None:
    assert resolve(token_of(value=f" {TOKEN}\n"), "incoming", {}) == TOKEN


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o640)
    assert resolve(token_of(file=tmp_path / "token"), "incoming", {}) == TOKEN


def test_a_token_is_read_from_a_credential_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "incoming").write_text(f"{TOKEN}\n")
    (tmp_path / "incoming").chmod(0o400)
    source = TokenSource(credential="incoming")
    assert resolve(source, "incoming", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == TOKEN
    with pytest.raises(ConfigurationError, match=r"credential incoming from systemd.*`fiona-ledger-as-service`"):
        resolve(source, "incoming", {})


@pytest.mark.parametrize("name", ["", "../incoming", "a/b", ".hidden"])
def test_a_credential_has_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    wrong = MINIMAL.replace(f'"{TOKEN}"', f'{{ credential = "{name}" }}')
    assert "expected the name of a credential" in refusal(tmp_path, wrong)


def test_a_token_is_taken_from_the_environment() -> None:
    assert resolve(token_of(env="TOKEN_OF_MINE"), "incoming", {"TOKEN_OF_MINE": TOKEN}) == TOKEN


@pytest.mark.parametrize(
    ("source", "environment", "place"),
    [
        ({"value": " \n"}, {}, "redcap.tokens.incoming: "),
        ({"env": "MINE"}, {}, "redcap.tokens.incoming \\(environment variable MINE\\): "),
        ({"env": "MINE"}, {"MINE": "  "}, "redcap.tokens.incoming \\(environment variable MINE\\): "),
    ],
)
def test_a_blank_token_is_an_error_that_says_where_it_was_expected(
    source: dict[str, str], environment: dict[str, str], place: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{place}expected a REDCap API token, found nothing"):
        resolve(token_of(**source), "incoming", environment)


@pytest.mark.parametrize(("content", "problem"), [(b"\n", "found nothing"), (b"\xff", "cannot be read")])
def test_a_file_without_a_token_is_an_error_that_names_it(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"file {tmp_path / 'token'}\\).*{problem}"):
        resolve(token_of(file=tmp_path / "token"), "incoming", {})


def test_a_token_file_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the file cannot be read: No such file or directory"):
        resolve(token_of(file=tmp_path / "token"), "incoming", {})


def test_several_words_are_no_token_and_are_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="found several words") as caught:
        resolve(token_of(value=f"{TOKEN}\n{TOKEN}"), "incoming", {})
    assert TOKEN not in str(caught.value)


def test_a_configuration_that_is_printed_shows_no_token(tmp_path: Path) -> None:
    found = load(written(tmp_path, MINIMAL))
    assert TOKEN not in repr(found)
    assert TOKEN not in found.model_dump_json()


def test_tokens_of_the_environment_are_gone_from_there_and_can_still_be_had(tmp_path: Path) -> None:
    content = MINIMAL.replace(f'"{TOKEN}"', '{ env = "REDCAP_TOKEN_ROUTING" }')
    environment = {"REDCAP_TOKEN_ROUTING": TOKEN, "LANG": "C"}
    tokens = withhold(load(written(tmp_path, content)), environment).redcap.tokens
    assert environment == {"LANG": "C"}
    assert [resolve(source, "x", environment) for source in (tokens.incoming, tokens.routing)] == [TOKEN, TOKEN]
    assert TOKEN not in repr(tokens)


def test_a_token_that_is_not_in_the_environment_is_missed_where_it_is_needed(tmp_path: Path) -> None:
    tokens = withhold(load(written(tmp_path, MINIMAL)), {}).redcap.tokens
    with pytest.raises(ConfigurationError, match=r"environment variable REDCAP_TOKEN_ROUTING\): expected a REDCap API"):
        resolve(tokens.routing, "routing", {})


# -- who else could have written what is read


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:81"])
def test_plain_http_on_this_machine_is_nobodys_to_hear(tmp_path: Path, host: str) -> None:
    plain = MINIMAL.replace("https://redcap.example", f"http://{host}")
    assert not load(written(tmp_path, plain)).redcap.is_overheard
