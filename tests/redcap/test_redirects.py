import pytest

from processors.redcap.redirects import shown, target


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("http://redcap.example/api/", "https://redcap.example/api/", "https://redcap.example/api/"),
        ("http://redcap.example:8080/api/", "https://redcap.example/api/", "https://redcap.example/api/"),
        ("https://redcap.example/api", "/api/", "https://redcap.example/api/"),
        ("https://redcap.example/api/", "https://redcap.example:443/redcap/api/", "https://redcap.example:443/redcap/api/"),
        ("https://redcap.example/api/", "https://REDCAP.example/x/api/", "https://REDCAP.example/x/api/"),
    ],
)  # fmt: skip
def test_follows_on_the_same_host_and_from_http_to_https(url: str, location: str, expected: str) -> None:
    assert target(url, location) == expected


@pytest.mark.parametrize(
    ("url", "location", "why"),
    [
        ("https://redcap.example/api/", "http://redcap.example/api/", "unencrypted"),
        ("https://redcap.example/api/", "https://login.example/sso", "another server"),
        ("http://redcap.example/api/", "https://redcap.example.evil/api/", "another server"),
        ("https://redcap.example/api/", "https://redcap.example:8443/api/", "another port"),
        ("https://redcap.example/api/", "https://a:b@redcap.example/api/", "password"),
        ("https://redcap.example/api/", "ftp://redcap.example/api/", "not an http address"),
        ("https://redcap.example/api/", "javascript:alert(1)", "not an http address"),
        ("https://redcap.example/api/", "https://redcap.example:port/api/", "Port"),
        ("https://redcap.example/api/", "https://[/api/", "Invalid"),
    ],
)
def test_the_token_is_not_sent_elsewhere(url: str, location: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        target(url, location)


def test_what_a_redirect_carries_is_not_shown() -> None:
    assert shown("https://a/api/", "https://u:secret@a:81/login?return=token#x") == "https://a:81/login"


@pytest.mark.parametrize("location", ["https://a:port/", "https://[/", "https://a:99999/"])
def test_a_redirect_to_what_is_no_address_is_told_as_that(location: str) -> None:
    assert shown("https://a/api/", location) == "what is no address"
