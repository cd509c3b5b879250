"""Configuration: which service, and which key, from arguments, the environment or a file.

The file is `tuneserve/config.toml` in `$XDG_CONFIG_HOME` (or `~/.config`; on Windows `%APPDATA%`), or
what `TUNESERVE_CONFIG` names:

    [profiles.default]
    url = "http://127.0.0.1:8080"
    api_key_file = "~/.local/share/tuneserve/admin.key"

    [profiles.lab]
    url = "https://tuneserve.lab.example.org"
    api_key = "tns_..."

A key goes to the address that it was given for, and to no other: one from a profile goes to the profile's
address, and one from the environment to that in the environment, if there is one. A key given as an
argument, and `TUNESERVE_API_KEY` where no `TUNESERVE_URL` is set, go wherever the client goes.
"""

import os
import re
import stat
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuneserve.errors import ConfigurationError

DEFAULT_PROFILE = "default"
"""The profile that is used when none is named."""

PROFILE_FIELDS = ("url", "api_key", "api_key_file")
"""What a profile may hold."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """An address, the key for it, and the profile that they are from, if they are from one.

    `withheld` says of a key that was found why it is not the one.
    """

    url: str | None = None
    api_key: str | None = None
    profile: str | None = None
    withheld: str | None = None

    def is_for(self, url: str) -> bool:
        """Whether the key may go to this address."""
        return self.url is None or _plain(self.url) == _plain(url)

    def __repr__(self) -> str:
        key = "tns_..." if self.api_key else None
        url = masked(self.url) if self.url else None
        return f"Settings(url={url!r}, api_key={key!r}, profile={self.profile!r})"


def settings(url: str | None = None, api_key: str | None = None, profile: str | None = None) -> Settings:
    """The address and the key: arguments first, then the environment, then the file's profile.

    A profile named as an argument goes before the environment.

    Raises:
        ConfigurationError: No address; no such profile; a file that does not fit, with its line; or a
            profile whose key was asked for another address than its own.
    """
    given = Settings(url=url or None, api_key=api_key or None)
    if given.url and given.api_key:
        return given
    sources = [from_file(profile)] if profile else _ambient(given.url)
    if profile and given.url and not sources[0].is_for(given.url):
        own, other = masked(sources[0].url or ""), masked(given.url)
        detail = f"profile {profile!r} is for {own}; its key is not sent to {other}"
        raise ConfigurationError(f"{detail}: leave out url=, or give api_key= too")
    return _chosen(given, sources)


def masked(url: str) -> str:
    """An address as it can be shown: without what stands before an `@`, which may be a password."""
    return f"...@{url.rpartition('@')[2]}" if "@" in url else url


def without_version(url: str) -> str:
    """The address of a service, from one that may end in the `/v1` of its API."""
    # A host may be named so, too.
    return re.sub(r"(?<!/)/v1/*$", "", url)


def config_path() -> Path:
    """Where the file is, whether or not there is one."""
    if named := os.environ.get("TUNESERVE_CONFIG"):
        return Path(named).expanduser()
    windows = os.environ.get("APPDATA") if os.name == "nt" else None
    folder = windows or os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "tuneserve" / "config.toml"


def from_file(profile: str | None = None) -> Settings:
    """A profile of the file; the one named `default` unless named, which need not be there.

    Raises:
        ConfigurationError: No such profile, or the file does not fit; the message has its line.
    """
    path = config_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if profile or os.environ.get("TUNESERVE_CONFIG"):
            raise ConfigurationError(f"no config file at {path}") from None
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return _File(path, text).profile(profile)


def _ambient(url: str | None) -> list[Settings]:
    """What the environment says and, where that leaves something open, the file."""
    environment = Settings(
        url=os.environ.get("TUNESERVE_URL") or None,
        api_key=os.environ.get("TUNESERVE_API_KEY") or None,
    )
    target = url or environment.url
    if target and environment.api_key and environment.is_for(target):
        return [environment]
    return [environment, from_file(os.environ.get("TUNESERVE_PROFILE") or None)]


def _chosen(given: Settings, sources: list[Settings]) -> Settings:
    addressed = next((one for one in [given, *sources] if one.url), None)
    if addressed is None or addressed.url is None:
        raise ConfigurationError(
            f"no address: give Client(url=...), set TUNESERVE_URL, or write a profile into {config_path()}"
        )
    keys = (one for one in [given, *sources] if one.api_key and one.is_for(addressed.url))
    key = next(keys, Settings())
    return Settings(
        url=addressed.url,
        api_key=key.api_key,
        profile=addressed.profile or key.profile,
        withheld=None if key.api_key else _withheld(sources),
    )


def _withheld(sources: list[Settings]) -> str | None:
    """Of the first key that there is, where it is from and what it is for."""
    for one in sources:
        if one.api_key and one.url:
            place = f"of profile {one.profile!r}" if one.profile else "in TUNESERVE_API_KEY"
            return f"the key {place} is for {masked(one.url)} and was not sent"
    return None


def _plain(url: str) -> tuple[str, str | None, int | None, str]:
    """What makes two addresses the same one."""
    try:
        parts = urlsplit(without_version(url.strip()))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname, port, parts.path.rstrip("/")
    except ValueError as error:
        raise ConfigurationError(f"{masked(url)!r} is not an address: {masked(str(error))}") from None


class _File:
    """The config file, and where in it each thing is."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def profile(self, name: str | None) -> Settings:
        profiles = self._profiles()
        if name is None and DEFAULT_PROFILE not in profiles:
            return Settings()
        name = name or DEFAULT_PROFILE
        if name not in profiles:
            known = ", ".join(profiles) or "none"
            raise ConfigurationError(f"{self._path}: no profile {name!r}; there is {known}")
        fields = profiles[name]
        self._check(name, fields)
        return Settings(url=fields["url"], api_key=self._key(name, fields), profile=name)

    def _profiles(self) -> Mapping[str, Any]:
        try:
            document = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self._text.count("\n") + 1
            raise ConfigurationError(f"{self._path}:{line}: {error}") from None
        for name, value in document.items():
            if name != "profiles":
                raise self._error(_misplaced(name, value), None, name)
        profiles = document.get("profiles", {})
        if not isinstance(profiles, dict):
            raise self._error("profiles are tables: [profiles.default]", None, "profiles")
        return profiles

    def _check(self, name: str, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise self._error(f"profile {name!r} is a table: [profiles.{name}]", None, name)
        for field, value in fields.items():
            if field not in PROFILE_FIELDS:
                raise self._error(f"{field!r} is none of {', '.join(PROFILE_FIELDS)}", name, field)
            if not isinstance(value, str) or not value.strip():
                raise self._error(f"{field} must be a text", name, field)
        if "url" not in fields:
            raise self._error(f"profile {name!r} has no url", name, None)
        if "api_key" in fields and "api_key_file" in fields:
            raise self._error("either api_key or api_key_file", name, "api_key_file")

    def _key(self, name: str, fields: Mapping[str, str]) -> str | None:
        if "api_key" in fields:
            _warn_if_readable(self._path)
            return fields["api_key"].strip()
        if "api_key_file" not in fields:
            return None
        path = self._path.parent / Path(fields["api_key_file"]).expanduser()
        try:
            key = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"the key file {path} cannot be read: {error}", name, "api_key_file") from None
        _warn_if_readable(path)
        return key or None

    def _error(self, detail: str, profile: str | None, field: str | None) -> ConfigurationError:
        return ConfigurationError(f"{self._path}:{self._line(profile, field)}: {detail}")

    def _line(self, profile: str | None, field: str | None) -> int:
        """The line of a field, counted from 1: the first that begins with it after the profile's header."""
        lines = self._text.splitlines()
        header = rf"\s*\[\s*profiles\s*\.\s*[\"']?{re.escape(profile or '')}[\"']?\s*\]"
        start = next((n for n, line in enumerate(lines) if profile and re.match(header, line)), 0)
        wanted = rf"\s*\[?[\"']?{re.escape(field)}\b" if field else header
        found = (n for n, line in enumerate(lines) if n >= start and re.match(wanted, line))
        return next(found, start) + 1


def _misplaced(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"the table {name!r} is unknown; write [profiles.{name}]"
    return f"{name!r} stands in no profile; write [profiles.default] above it"


def _warn_if_readable(path: Path) -> None:
    """A warning and no error: on some file systems every file looks readable by all."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o044:
        warnings.warn(f"{path} holds an API key and others can read it: chmod 600", stacklevel=2)
