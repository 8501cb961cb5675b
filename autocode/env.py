"""The environment of AutoCode: reads every variable of ``autocode.variables`` once, with its type.

Knows ``os.environ`` and how a value is written; knows no Django setting. The settings read the values from here,
and ``python -m autocode.env`` prints ``deploy/env.example`` from the same table.

Nothing is raised while reading: malformed and missing values are collected, so that an operator sees all of them
at once (``Values.refuse_problems``).
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from environ.fileaware_mapping import FileAwareMapping

from autocode.variables import SECTIONS, VARIABLES, Kind, Value, Variable

T = TypeVar("T")
ON: Final = frozenset({"on", "true", "yes", "1"})
OFF: Final = frozenset({"off", "false", "no", "0"})


class ConfigurationError(Exception):
    """The environment cannot be used; the message lists every problem, one a line."""


class Values:
    """The environment as read: one typed value for each variable, and the problems found on the way."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self._problems: list[str] = []
        self._written = {name: self._lookup(source, name) for name in VARIABLES}
        self._values = {variable.name: self._read(variable) for variable in VARIABLES.values()}

    def given(self, name: str) -> bool:
        """Return whether the variable is set to something other than blanks."""
        return bool(self._written[name])

    def text(self, name: str) -> str:
        """Return the value of a text, secret, choice, path or URL."""
        return self._typed(name, str)

    def integer(self, name: str) -> int:
        """Return the value of an integer, in the variable's unit."""
        return self._typed(name, int)

    def number(self, name: str) -> float:
        """Return the value of a number, in the variable's unit."""
        return self._typed(name, float)

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return the value of a flag; ``default`` replaces the table's default when the variable is not given."""
        return default if default is not None and not self.given(name) else self._typed(name, bool)

    def names(self, name: str) -> list[str]:
        """Return the values of a list, without blanks; a new list each time."""
        return list(self._typed(name, tuple))

    def refuse_problems(self, *, production: bool) -> None:
        """Raise if any value is malformed or, in ``production``, any required one is missing.

        Raises:
            ConfigurationError: lists all problems; it names variables, and never repeats a value, which may be secret.
        """
        problems = list(self._problems)
        if production:
            problems += [
                f"{variable.name} is required: {variable.meaning}"
                for variable in VARIABLES.values()
                if variable.required and not self._written[variable.name]
            ]
        if problems:
            raise ConfigurationError("the environment has problems:\n" + "\n".join(f"  - {line}" for line in problems))

    def _typed(self, name: str, kind: type[T]) -> T:
        value = self._values[name]
        if not isinstance(value, kind):
            raise TypeError(f"{name} is {VARIABLES[name].kind.value}, not {kind.__name__}")
        return value

    def _lookup(self, source: Mapping[str, str], name: str) -> str:
        """Return what stands in the environment, stripped; a secret file that cannot be read is a problem."""
        try:
            return source.get(name, "").strip()
        except OSError as error:
            self._problems.append(f"{name}_FILE cannot be read: {error.strerror}")
            return ""

    def _read(self, variable: Variable) -> Value:
        """Return the parsed value, or the default after noting what is wrong with it."""
        if not self._written[variable.name]:
            return variable.default
        try:
            value = _parse(self._written[variable.name], variable)
        except ValueError:
            self._problems.append(f"{variable.name} must be {_kind_text(variable)}")
            return variable.default
        problem = _bound_problem(variable, value)
        if problem:
            self._problems.append(problem)
            return variable.default
        return value


def read() -> Values:
    """Return the values of this process's environment; ``NAME_FILE`` names a file that holds the value of ``NAME``."""
    return Values(FileAwareMapping(os.environ))


def _parse(written: str, variable: Variable) -> Value:
    match variable.kind:
        case Kind.FLAG:
            # django-environ reads every unknown word as False; here "ture" must not silently switch something off.
            if written.lower() not in ON | OFF:
                raise ValueError(written)
            return written.lower() in ON
        case Kind.INTEGER:
            return int(written)
        case Kind.NUMBER:
            return float(written)
        case Kind.NAMES:
            return tuple(part.strip() for part in written.split(",") if part.strip())
        case Kind.CHOICE if written not in variable.choices:
            raise ValueError(written)
        case _:
            return written


def _bound_problem(variable: Variable, value: Value) -> str:
    """Return what is wrong with the size of ``value``, or an empty text."""
    if variable.minimum is None or isinstance(value, bool | tuple):
        return ""
    if isinstance(value, str):
        return "" if len(value) >= variable.minimum else f"{variable.name} needs {variable.minimum:g} characters"
    # Written so that NaN, which compares false with everything, is refused too.
    return "" if value >= variable.minimum else f"{variable.name} must be at least {variable.minimum:g}"


def _kind_text(variable: Variable) -> str:
    return f"one of {', '.join(variable.choices)}" if variable.choices else variable.kind.value


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def example() -> str:
    """Return the text of ``deploy/env.example``: every variable its meaning; those with a default commented out."""
    return "\n".join(_example_lines())


def _example_lines() -> Iterable[str]:
    yield "# The environment of AutoCode: NAME=value lines, for systemd's EnvironmentFile= or compose's env_file."
    yield "# Generated by `python -m autocode.env`; edit autocode/env.py instead."
    yield "# A line that is commented out shows the default. NAME_FILE=path reads the value of NAME from a file."
    yield ""
    yield "# Which settings: production here; on a desk, and by default in manage.py, autocode.settings.local."
    yield "DJANGO_SETTINGS_MODULE=autocode.settings.production"
    for section in SECTIONS:
        yield ""
        yield f"# ---- {section.title} ----"
        for variable in section.variables:
            kind = f"{_kind_text(variable)}{'; ' + variable.unit if variable.unit else ''}"
            yield ""
            yield from textwrap.wrap(variable.meaning, width=118, initial_indent="# ", subsequent_indent="# ")
            yield f"# ({kind}{'; required' if variable.required else ''})"
            yield f"{'' if variable.required else '#'}{variable.name}={_written(variable.default)}"
    yield ""


def main() -> None:
    """Print ``env.example``, or write it to the file named as the only argument."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(example(), encoding="utf-8")
    else:
        sys.stdout.write(example())


if __name__ == "__main__":
    main()
