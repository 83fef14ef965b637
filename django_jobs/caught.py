"""The one place where any exception is caught: what users' code raises is a result here."""

from types import TracebackType


class Caught:
    """Keeps in `error` what its block raised, of these kinds (Exception), and lets it no further."""

    __slots__ = ("error", "kinds")

    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds or Exception
        self.error: BaseException | None = None

    def __enter__(self) -> "Caught":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool:
        self.error = error
        return isinstance(error, self.kinds)
