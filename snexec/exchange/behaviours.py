"""Which behaviour each order meets: by its symbol, and by its side where one is meant."""

from collections import Counter
from collections.abc import Mapping

from snexec.exchange.assets import canonical
from snexec.exchange.settings import Behaviour

BEHAVES = Behaviour()

_Key = tuple[str, str | None]


class Behaviours:
    """What is set for symbols, until it is worn out."""

    def __init__(self, symbols: Mapping[str, Behaviour]) -> None:
        self._set: dict[_Key, Behaviour] = {}
        self._met: Counter[_Key] = Counter()
        for symbol, behaviour in symbols.items():
            self.set(symbol, behaviour)

    def set(self, symbol: str, behaviour: Behaviour) -> None:
        """Make a symbol misbehave from its next order on, or its next buy or sell."""
        key = canonical(symbol), behaviour.side
        self._set[key] = behaviour
        del self._met[key]

    def clear(self, symbol: str) -> None:
        """Make a symbol behave from its next order on."""
        for side in ("buy", "sell", None):
            self._set.pop((canonical(symbol), side), None)
            del self._met[canonical(symbol), side]

    def of(self, symbol: str, side: str = "buy") -> Behaviour:
        """Return the behaviour that the symbol's next order meets."""
        key = self._key(symbol, side)
        return BEHAVES if key is None else self._set[key]

    def take(self, symbol: str, side: str) -> Behaviour:
        """Return the behaviour that an order meets, and count the order."""
        key = self._key(symbol, side)
        if key is None:
            return BEHAVES
        self._met[key] += 1
        return self._set[key]

    def _key(self, symbol: str, side: str) -> _Key | None:
        name = canonical(symbol)
        for key in ((name, side), (name, None)):
            behaviour = self._set.get(key)
            if behaviour is None:
                continue
            if behaviour.times is None or self._met[key] < behaviour.times:
                return key
        return None
