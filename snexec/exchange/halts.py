"""Trading halts of symbols; orders wait for the reopening (ALPACA-EXITS 1.1)."""

from collections.abc import Callable

from snexec.exchange.assets import canonical


class Halts:
    """Knows which symbols do not trade now, and who waits for them."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def halt(self, symbol: str) -> None:
        """Hold what would be executed from now on."""
        self._waiting.setdefault(canonical(symbol), [])

    def resume(self, symbol: str) -> None:
        """Let what waited go on."""
        for go_on in self._waiting.pop(canonical(symbol), ()):
            go_on()

    def wait(self, symbol: str, go_on: Callable[[], None]) -> bool:
        """Call a function at the reopening; return whether there is one to wait for."""
        waiting = self._waiting.get(symbol)
        if waiting is None:
            return False
        waiting.append(go_on)
        return True
