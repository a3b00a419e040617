"""Operations that never print their arguments."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, ParamSpec, Protocol, cast

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import OperationMeta, operation

P = ParamSpec("P")
Commands = Generator[PyinfraCommand, None, None]


class MacOperation(Protocol):
    """An operation as deploys call it: pyinfra's own type admits no positional arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> OperationMeta:  # noqa: ANN401
        """Plan it for the current Mac."""
        raise NotImplementedError


def mac_operation(title: str, is_idempotent: bool = True) -> Callable[[Callable[P, Commands]], MacOperation]:
    """Like pyinfra's `operation`, with a name of its own: `title` and the first argument, if it is a label.

    pyinfra prints every argument of an operation without a name, and ours are handed contents and secrets.
    """

    def decorate(function: Callable[P, Commands]) -> MacOperation:
        inner = cast(Callable[..., OperationMeta], operation(is_idempotent=is_idempotent)(function))
        first = next(iter(function.__code__.co_varnames), "")

        @wraps(function)
        def named(*args: P.args, **kwargs: P.kwargs) -> OperationMeta:
            subject = args[0] if args else kwargs.get(first)
            is_label = isinstance(subject, str) and "\n" not in subject
            name = f"{title} {subject}" if is_label else title
            return inner(*args, **{**kwargs, "name": kwargs.get("name") or name})

        named._inner = function  # type: ignore[attr-defined]  # what nested operations call
        return cast(MacOperation, named)

    return decorate
