"""Configuration: where address and key come from, and that no key goes to another address."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from tuneserve import Client, ConfigurationError, config
from tuneserve.config import settings

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
[profiles.default]
url = "http://default"
api_key = "tns_default"

[profiles.lab]
url = "https://lab/tune"
api_key_file = "lab.key"

[profiles."open one"]
url = "http://open"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "tuneserve" / "config.toml"
    path.parent.mkdir()
    write(path, FILE)
    write(path.with_name("lab.key"), "tns_lab\n")
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def chosen(*arguments: str | None, **named: str) -> tuple[str | None, str | None]:
    found = settings(*arguments, **named)
    return found.url, found.api_key


@pytest.mark.usefixtures("file")
def test_the_default_profile_and_others() -> None:
    assert chosen() == ("http://default", "tns_default")
    assert chosen(profile="lab") == ("https://lab/tune", "tns_lab")
    assert chosen(profile="open one") == ("http://open", None)
    assert settings(profile="lab").profile == "lab"


@pytest.mark.usefixtures("file")
def test_arguments_then_environment_then_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_PROFILE", "lab")
    assert chosen() == ("https://lab/tune", "tns_lab")
    monkeypatch.setenv("TUNESERVE_URL", "http://env")
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_env")
    assert chosen() == ("http://env", "tns_env")
    assert chosen(profile="default") == ("http://default", "tns_default")
    assert chosen("http://arg", "tns_arg") == ("http://arg", "tns_arg")
    assert chosen(None, "tns_arg") == ("http://env", "tns_arg")


@pytest.mark.usefixtures("file")
def test_no_key_goes_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("http://arg") == ("http://arg", None)
    assert chosen("HTTP://default/") == ("HTTP://default/", "tns_default")
    with pytest.raises(ConfigurationError, match=r"profile 'lab' is for https://lab/tune"):
        settings("http://arg", profile="lab")
    assert chosen("http://arg", "tns_arg", profile="lab") == ("http://arg", "tns_arg")
    monkeypatch.setenv("TUNESERVE_URL", "http://env")
    assert chosen() == ("http://env", None)
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_env")
    assert chosen("http://arg") == ("http://arg", None)
    assert chosen("http://default") == ("http://default", "tns_default")
    # Without an address beside it, the key of the environment is for whatever service is used.
    monkeypatch.delenv("TUNESERVE_URL")
    assert chosen("http://arg") == ("http://arg", "tns_env")
    assert chosen() == ("http://default", "tns_env")


@pytest.mark.usefixtures("file")
def test_a_key_that_is_for_another_address_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().withheld is None
    of_profile = "the key of profile 'default' is for http://default and was not sent"
    assert settings("http://arg").withheld == of_profile
    monkeypatch.setenv("TUNESERVE_URL", "http://u:secret@env")
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_env")
    in_environment = "the key in TUNESERVE_API_KEY is for ...@env and was not sent"
    assert settings("http://arg").withheld == in_environment
    assert settings("http://default").withheld is None
    assert settings("http://arg", "tns_arg").withheld is None


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTPS://LAB:443/tune/", True),
        ("https://lab/tune/v1", True),
        (" https://lab/tune", True),
        ("http://lab/tune", False),
        ("https://lab:8443/tune", False),
        ("https://lab/Tune", False),
        ("https://lab", False),
        ("https://lab.evil/tune", False),
        ("https://evil@lab.evil/tune", False),
    ],
)
def test_which_addresses_are_the_same(url: str, same: bool) -> None:
    assert config.Settings(url="https://lab/tune", api_key="k").is_for(url) is same


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("url", ["http://[", "http://a:port"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an address"):
        Client(url)


@pytest.mark.usefixtures("file")
def test_the_client_uses_it() -> None:
    with Client(profile="lab") as client:
        assert client.url == "https://lab/tune"
        assert client._http.headers["Authorization"] == "Bearer tns_lab"


def test_where_the_file_is(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.config_path() == file
    other = tmp_path / "other.toml"
    monkeypatch.setenv("TUNESERVE_CONFIG", str(other))
    with pytest.raises(ConfigurationError, match=r"no config file at .*other\.toml"):
        settings()
    write(other, '[profiles.default]\nurl = "http://other"')
    assert chosen() == ("http://other", None)
    monkeypatch.delenv("TUNESERVE_CONFIG")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config.config_path().parts[-3:] == (".config", "tuneserve", "config.toml")


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert chosen("http://arg") == ("http://arg", None)
    with pytest.raises(ConfigurationError, match=r"no address: .*TUNESERVE_URL.*config\.toml"):
        settings()
    with pytest.raises(ConfigurationError, match="no config file at"):
        settings(profile="lab")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[profiles.default]\nurl = http", 2, "Invalid value"),
        ("profiles = 3", 1, "profiles are tables"),
        ("# a\n[profiles]\ndefault = 3", 3, "is a table"),
        ("\n[default]\nurl = 'http://a'", 2, "the table 'default' is unknown; write [profiles.default]"),
        ("url = 'http://a'", 1, "'url' stands in no profile; write [profiles.default] above it"),
        (
            "[profiles.default]\n\nurl = 'http://a'\nkey = 'k'",
            4,
            "'key' is none of url, api_key, api_key_file",
        ),
        ("[profiles.b]\nurl = 'http://b'\n[profiles.default]\nurl = 3", 4, "url must be a text"),
        ("[profiles.default]\nurl = 'http://a'\napi_key = ' '", 3, "api_key must be a text"),
        ("\n[profiles.default]\napi_key = 'k'", 2, "has no url"),
        ("[profiles.default]\nurl = 'http://a'\napi_key_file = 'not-there'", 3, "not-there cannot be read"),
        ("[profiles.default]\nurl = 'a'\napi_key = 'k'\napi_key_file = 'f'", 4, "either api_key or"),
    ],
)
def test_errors_name_file_and_line(file: Path, text: str, line: int, said: str) -> None:
    write(file, text)
    with pytest.raises(ConfigurationError) as caught:
        settings()
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert said in str(caught.value)


def test_an_unknown_profile_names_the_known(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no profile 'x'; there is default, lab, open one"):
        settings(profile="x")
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=str(file)):
        settings()


@pytest.mark.parametrize("name", ["config.toml", "lab.key"])
def test_a_key_that_others_can_read_is_warned_of(file: Path, name: str) -> None:
    profile = "lab" if name == "lab.key" else "default"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings(profile=profile)
    file.with_name(name).chmod(0o644)
    with pytest.warns(UserWarning, match=rf"{name} holds an API key and others can read it"):
        settings(profile=profile)


@pytest.mark.usefixtures("file")
def test_a_key_is_not_shown() -> None:
    assert "tns_default" not in repr(settings())
