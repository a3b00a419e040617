"""What may go wrong with a request, and with the engine."""

from __future__ import annotations


class BadRequest(ValueError):
    """A request that cannot be served as it is asked; the client is told why."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The parameter at fault, by its name in the request."""


class EngineFailed(RuntimeError):
    """The engine does not answer any more, whatever it is asked: the ingress takes another replica for it."""
