"""Find what in a declaration is not of its declared type: a text for a number would fail later, or pass for another."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin, get_type_hints

Fault = tuple[str, object, str]
"""The place, the value there, and the fix."""


def fault(declared: Any) -> Fault | None:
    """Return the first field of a declaration, or within it, that is not of its type; None where all are.

    >>> from domain.experiment.declaration import Stopping
    >>> fault(Stopping(days="14"))
    ('days', '14', 'give a whole number')
    """
    for name, wanted in get_type_hints(type(declared)).items():
        if name in {field.name for field in fields(declared)} and (found := _fault(getattr(declared, name), wanted)):
            place, value, fix = found
            return f"{name}.{place}".rstrip("."), value, fix
    return None


def is_number(value: object) -> bool:
    """Tell whether a value is a number that a double holds, or is infinite or nan; a truth value is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return not isinstance(value, Integral) or abs(int(value)) < 2**1023


def _fault(value: Any, wanted: Any) -> Fault | None:
    """Return what is wrong with a value, its place within it empty for the value itself."""
    if wanted is Any:
        return None
    origin, of = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _none_of(value, of)
    if origin is tuple:
        return _in_tuple(value, of)
    if not _is_a(value, wanted):
        return "", value, _fix(wanted)
    return fault(value) if is_dataclass(wanted) else None


def _none_of(value: Any, of: tuple[Any, ...]) -> Fault | None:
    for each in of:
        if _is_a(value, each):
            return _fault(value, each)
    return "", value, " or ".join([_fix(of[0]), *(_fix(each).removeprefix("give ") for each in of[1:])])


def _in_tuple(value: Any, of: tuple[Any, ...]) -> Fault | None:
    if not isinstance(value, tuple):
        return "", value, f"give a tuple, as ({value!r},)" if isinstance(value, str) else "give a tuple"
    kinds = of[:1] * len(value) if of[1:] == (...,) else of
    if len(kinds) != len(value):
        return "", value, f"give {len(kinds)}"
    for number, (each, kind) in enumerate(zip(value, kinds, strict=True)):
        if found := _fault(each, kind):
            name = getattr(each, "name", getattr(each, "key", number))
            return f"{name if isinstance(name, str) else number}.{found[0]}".rstrip("."), found[1], found[2]
    return None


def _is_a(value: object, wanted: Any) -> bool:
    if wanted is float:
        return is_number(value)
    if wanted is int:
        return is_number(value) and isinstance(value, Integral)
    return isinstance(value, wanted)


def _fix(wanted: Any) -> str:
    if wanted is types.NoneType:
        return "give none"
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return f"give one of {', '.join(f'{wanted.__name__}.{each.name}' for each in wanted)}"
    names = {float: "a number", int: "a whole number", str: "text", bool: "True or False"}
    return f"give {names.get(wanted) or f'a value of {wanted.__name__}'}"
