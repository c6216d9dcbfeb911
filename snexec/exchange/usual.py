"""What usual clients ask for first, beside orders and positions (ALPACA 2)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from snexec.exchange.assets import canonical, class_of
from snexec.exchange.book import Book
from snexec.exchange.errors import invalid
from snexec.exchange.queries import account, asset

# Every symbol can be traded here; these are those that a list has from the start.
_LISTED = (
    *("AAPL", "AMD", "AMZN", "BRK.B", "GOOGL", "KO", "META", "MSFT", "NVDA", "QQQ"),
    *("SPY", "TSLA", "BTC/USD", "ETH/USD", "SOL/USD"),
)
_CONFIGURATIONS: dict[str, object] = {
    "dtbp_check": "entry",
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "max_options_trading_level": None,
    "no_shorting": True,
    "pdt_check": "entry",
    "ptp_no_exception_entry": False,
    "suspend_trade": False,
    "trade_confirm_email": "none",
}
_TIMEFRAMES = {"1Min", "5Min", "15Min", "1H", "1D"}


def assets(book: Book, params: Mapping[str, str]) -> list[object]:
    """Return the assets of GET /v2/assets: the usual ones, and what was traded here."""
    known = {*_LISTED, *(each.symbol for each in book.orders())}
    wanted = params.get("asset_class", params.get("class"))
    if params.get("status", "active") not in {"active", "all"}:
        return []
    return [
        asset(name)
        for name in sorted(known)
        if wanted in {None, "", class_of(canonical(name)).name}
    ]


class Configurations:
    """The account's configurations; what a client changes is kept, and changes nothing."""

    def __init__(self) -> None:
        self._values = dict(_CONFIGURATIONS)

    def show(self) -> dict[str, object]:
        """Return them."""
        return dict(self._values)

    def change(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Change some, and return all.

        Raises:
            ApiError: There is no such one.
        """
        if unknown := fields.keys() - self._values.keys():
            raise invalid(f"unknown configuration: {', '.join(sorted(unknown))}")
        self._values |= fields
        return self.show()


def portfolio_history(book: Book, params: Mapping[str, str]) -> object:
    """Return the account's history, which here is this moment.

    Raises:
        ApiError: There is no such time frame.
    """
    timeframe = params.get("timeframe") or "1D"
    if timeframe not in _TIMEFRAMES:
        raise invalid(f"timeframe must be one of {', '.join(sorted(_TIMEFRAMES))}")
    now = account(book)
    equity = float(now["equity"]) if isinstance(now, dict) else 0.0
    return {
        "base_value": equity,
        "base_value_asof": datetime.now(UTC).date().isoformat(),
        "equity": [equity],
        "profit_loss": [0.0],
        "profit_loss_pct": [0.0],
        "timeframe": timeframe,
        "timestamp": [int(datetime.now(UTC).timestamp())],
    }
