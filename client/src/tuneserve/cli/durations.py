"""Durations as people write them."""

import re

import click

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_FORM = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS))
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
_LONGEST_SECONDS = 365 * 86_400


class Duration(click.ParamType[float]):
    """A click type: seconds (0, a year], from `90`, `90s`, `15m`, `1h30m`, `2h` or `1d`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        seconds = read(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a duration: 90s, 15m, 1h30m, 2h, or seconds.", param, ctx)
        if not 0 < seconds <= _LONGEST_SECONDS:
            self.fail(f"{value!r} is not above 0 and at most a year.", param, ctx)
        return seconds


def read(text: str) -> float | None:
    """Seconds of a duration; None for what is not one."""
    text = text.strip().lower()
    if _PLAIN.fullmatch(text):
        return float(text)
    found = _FORM.fullmatch(text)
    if found is None or not text:
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS.values(), strict=True) if part)
