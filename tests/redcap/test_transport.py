"""How a call travels: redirects, certificates, broken bodies, the environment."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from processors.errors import ConfigurationError, Unanswered
from processors.redcap import Misdirected, NoRateLimit, Redcap
from processors.redcap.transport import redirect_target, shown_address

from .web import Page, Web, web

TOKEN = "0123456789ABCDEF" * 2
ROWS = Page(body=b'[{"record_id": "1"}]')


@contextmanager
def client_of(server: Web, ca_bundle: Path | None = None) -> Iterator[Redcap]:
    with client_at(server.url, ca_bundle) as client:
        yield client


def client_at(url: str, ca_bundle: Path | None = None) -> Redcap:
    return Redcap(
        url=url,
        tokens={"incoming": TOKEN},
        rate_limit=NoRateLimit(),
        ca_bundle=ca_bundle,
        sleep=lambda _seconds: None,
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_on_the_same_server_is_posted_again_and_remembered(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    moved = Page(body=b"", status=status, headers={"Location": "/moved/"})
    with web(moved, moved=ROWS) as server, client_of(server) as client:
        client.export_records("incoming", fields=["record_id"])
        client.export_records("incoming", fields=["record_id"])

    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", "/api/"),
        ("POST", "/moved/"),
        ("POST", "/moved/"),
    ]
    assert server.seen[0].body == server.seen[1].body
    assert client.calls == 3
    assert "configure that address as redcap.url" in caplog.text


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://elsewhere.example/login?t=1", "another server"),
        ("https://login.example/sso", "another server"),
        ("http://localhost:1/api/", "another port"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed_and_not_tried_again(location: str, why: str) -> None:
    with (
        web(Page(body=b"", status=302, headers={"Location": location})) as server,
        client_of(server) as client,
        pytest.raises(Misdirected, match=f"{why}.*redcap.url") as raised,
    ):
        client.metadata("incoming")

    assert len(server.seen) == 1
    assert location.partition("?")[0] in str(raised.value)


@pytest.mark.parametrize("status", [301, 303])
def test_a_loop_or_a_see_other_ends(status: int) -> None:
    page = Page(body=b"", status=status, headers={"Location": "/api/"})
    with (
        web(page) as server,
        client_of(server) as client,
        pytest.raises(Misdirected, match="with a redirect to"),
    ):
        client.metadata("incoming")

    assert len(server.seen) <= 2


def test_a_body_shorter_than_announced_is_no_answer() -> None:
    cut = Page(body=b"[]", headers={"Content-Length": "200"})
    with web(cut) as server, client_of(server) as client, pytest.raises(Unanswered, match="cut off"):
        client.export_records("incoming")

    assert len(server.seen) == 4


def test_a_large_import_is_sent_in_several_bodies_and_counted_once() -> None:
    rows: list[dict[str, str | int]] = [
        {"record_id": str(place % 2), "redcap_repeat_instance": place + 1, "notes": "x" * 4_000_000}
        for place in range(2)
    ]
    with web(Page(body=b'{"count": 1}')) as server, client_of(server) as client:
        assert client.import_records("incoming", rows, overwrite=False) == 2

    assert [len(seen.body) < 7_500_000 for seen in server.seen] == [True, True]


def test_netrc_and_cookies_are_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in a home directory are meant for other programs, and cookies tie tokens together."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    page = Page(body=b"[]", headers={"Set-Cookie": "PHPSESSID=1; Path=/"})
    with web(page) as server, client_of(server) as client:
        client.export_records("incoming")
        client.export_records("incoming")

    assert not any({"Authorization", "Cookie"} & seen.headers.keys() for seen in server.seen)


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with web(ROWS) as proxy:
        proxy.pages["http://redcap.example/api/"] = [ROWS]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        with client_at("http://redcap.example/api/") as client:
            assert client.export_records("incoming")[0]["record_id"] == "1"


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that only those trust who are given it, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(tz=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    bundle, key_file = folder / "certificate.pem", folder / "key.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle, key_file)
    return bundle, context


def test_a_named_bundle_is_trusted_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session's own setting used to lose against REQUESTS_CA_BUNDLE; given with the call it does not."""
    bundle, context = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Path(ssl.get_default_verify_paths().cafile or bundle)))
    with web(ROWS, tls=context) as server, client_of(server, bundle) as client:
        assert client.export_records("incoming")[0]["record_id"] == "1"


def test_it_is_noted_when_the_servers_certificate_runs_out(tmp_path: Path) -> None:
    bundle, context = self_signed(tmp_path)
    with web(ROWS, tls=context) as server, client_of(server, bundle) as client:
        before = client.certificate_ends
        client.export_records("incoming")
        after = client.certificate_ends
    assert before is None
    assert after is not None
    assert dt.timedelta(minutes=59) < after - dt.datetime.now(tz=dt.UTC) <= dt.timedelta(hours=1)


def test_a_redirect_from_http_to_https_on_another_port_sends_nothing_there(tmp_path: Path) -> None:
    """Whoever has an account on REDCap's host could listen on that port; the token used to follow."""
    bundle, context = self_signed(tmp_path)
    with web(ROWS, tls=context) as secure:
        moved = Page(body=b"", status=301, headers={"Location": secure.url})
        with (
            web(moved) as plain,
            client_at(plain.url, bundle) as client,
            pytest.raises(Misdirected, match="another port"),
        ):
            client.export_records("incoming")

    assert secure.seen == []


def test_the_environments_bundle_is_used_where_none_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, context = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with web(ROWS, tls=context) as server, client_of(server) as client:
        assert client.export_records("incoming")[0]["record_id"] == "1"


def test_an_environments_bundle_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with (
        client_at("https://127.0.0.1:1/api/") as client,
        pytest.raises(Unanswered, match="file of certificates named in the environment"),
    ):
        client.metadata("incoming")


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("http://redcap.example/api/", "https://redcap.example/api/", "https://redcap.example/api/"),
        ("http://redcap.example:80/api/", "https://redcap.example/api/", "https://redcap.example/api/"),
        ("http://redcap.example:8443/api/", "https://redcap.example:8443/api/", "https://redcap.example:8443/api/"),
        ("https://redcap.example/api", "/api/", "https://redcap.example/api/"),
        ("https://redcap.example/api/", "https://redcap.example:443/redcap/api/", "https://redcap.example:443/redcap/api/"),
        ("https://redcap.example/api/", "https://REDCAP.example/x/api/", "https://REDCAP.example/x/api/"),
    ],
)  # fmt: skip
def test_follows_on_the_same_host_and_from_http_to_https(url: str, location: str, expected: str) -> None:
    assert redirect_target(url, location) == expected


def test_what_a_redirect_carries_is_not_shown() -> None:
    assert shown_address("https://a/api/", "https://u:secret@a:81/login?return=token#x") == "https://a:81/login"


@pytest.mark.parametrize("location", ["https://a:port/", "https://[/", "https://a:99999/"])
def test_a_redirect_to_what_is_no_address_is_told_as_that(location: str) -> None:
    assert shown_address("https://a/api/", location) == "what is no address"


@contextmanager
def proxy(answer: str) -> Iterator[str]:
    """The address of a proxy that answers every request so."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "answer", "found"),
    [
        (
            "https://redcap.invalid/api/",
            "407 Proxy Authentication Required",
            "HTTP 407: it wants a password",
        ),
        ("https://redcap.invalid/api/", "403 Forbidden", "a proxy that does not let the call through (HTTP 403)"),
        ("http://redcap.invalid/api/", "407 Proxy Authentication Required", "HTTP 407: it wants a password"),
    ],
)
def test_a_proxys_refusal_is_told_as_the_proxys(
    url: str, answer: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to be "a connection that was cut off", tried four times."""
    with proxy(answer) as address, client_at(url) as client:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, address)
        with pytest.raises(Misdirected) as raised:
            client.metadata("incoming")
    assert found in str(raised.value)
    assert "NO_PROXY" in str(raised.value)
    assert client.calls == 1


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("socks5://127.0.0.1:9", "a SOCKS proxy in the environment through which REDCap is not reached"),
        ("http://proxy.invalid:3128", "a proxy in the environment whose name is not known here"),
        ("http://127.0.0.1:1", "a proxy in the environment that is not reached"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_as_the_environments(
    address: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", address)
    with client_at("https://redcap.invalid/api/") as client, pytest.raises(Misdirected) as raised:
        client.metadata("incoming")
    assert found in str(raised.value)


def test_without_pysocks_a_socks_proxy_is_told_as_one_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pysocks(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", without_pysocks)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    with client_at("https://redcap.invalid/api/") as client, pytest.raises(Misdirected) as raised:
        client.metadata("incoming")
    assert "a SOCKS proxy in the environment, which this program cannot use" in str(raised.value)


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_bundle_without_certificates_is_misconfigured(tmp_path: Path, content: str) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text(content)
    with pytest.raises(ConfigurationError, match=r"redcap.ca_bundle: .* holds none"):
        client_at("https://redcap.invalid/api/", bundle)
