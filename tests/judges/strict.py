"""The SDKs' own types of requests, taken at their word.

They are `TypedDict`s. Pydantic checks those, but lets members pass that no type names, and looks into an
`Iterable` only when somebody walks along it. Here nothing unknown passes and everything is walked along.
"""

import collections.abc
import os
import typing
from types import UnionType

import pydantic
import typing_extensions
from typing_extensions import Annotated, NotRequired, ReadOnly, Required

SEQUENCES = (collections.abc.Iterable, collections.abc.Sequence, collections.abc.Iterator)
WRAPPERS = (Annotated, Required, NotRequired, ReadOnly)


class Nothing:
    """Stands for what no JSON can be: open files, paths, bytes; no value is one."""


def _plain(hint, seen):
    origin, arguments = typing_extensions.get_origin(hint), typing_extensions.get_args(hint)
    if typing_extensions.is_typeddict(hint):
        _strict(hint, seen)
        return hint
    # Answers may stand where requests do (`BaseModel`); their types let anything pass, so they do not count.
    if isinstance(hint, type) and issubclass(hint, (bytes, bytearray, os.PathLike, pydantic.BaseModel)):
        return Nothing
    if origin is None:
        return typing.Any if hint is object else hint
    if origin in (typing.IO, os.PathLike) or getattr(hint, "__origin__", None) is typing.IO:
        return Nothing
    if origin is typing_extensions.Literal:
        return hint
    if origin is Annotated:
        return _plain(arguments[0], seen)
    if origin in WRAPPERS:
        return origin[_plain(arguments[0], seen)]
    inner = tuple(_plain(argument, seen) for argument in arguments)
    if origin in (typing.Union, UnionType):
        return typing.Union[tuple(one for one in inner if one is not Nothing) or (Nothing,)]
    if origin in SEQUENCES or getattr(origin, "__name__", "") == "SequenceNotStr":
        return list[inner[0]]
    if origin in (list, dict, tuple):
        return origin[inner]
    if origin in (collections.abc.Mapping,):
        return dict[inner]
    raise TypeError(f"no rule for {hint}")


def _strict(cls, seen):
    if cls in seen:
        return
    seen.add(cls)
    hints = typing_extensions.get_type_hints(cls, include_extras=True)
    required = cls.__required_keys__
    cls.__annotations__ = {name: _plain(hint, seen) for name, hint in hints.items()}
    cls.__required_keys__ = required
    cls.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


def adapter(cls):
    """A judge of whether a JSON text is a `cls`."""
    _strict(cls, set())
    return pydantic.TypeAdapter(cls)
