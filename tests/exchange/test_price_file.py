"""Prices from a file: all is executed at them."""

from decimal import Decimal
from pathlib import Path

import pytest
import trio

from snexec.exchange.price_file import PriceFile

from .conftest import Start, within


@within(10)
async def test_what_the_file_says_is_what_is_paid_and_got(
    start: Start, tmp_path: Path, nursery: trio.Nursery
) -> None:
    bench, path = await start(), tmp_path / "prices.csv"
    path.write_text(
        "symbol,price\nKO,62.10\nKO, 62.25\n\nPEP,x\nF,-1\nlonely\nBTCUSD,64000\n"
    )
    file = bench.exchange.follow_prices(path)
    assert file.read() == 2
    nursery.start_soon(file.run)

    bought = await bench.settled((await bench.order(notional="622.50")).json()["id"])
    path.write_text("KO,70\n")
    await trio.sleep(0.5)
    sold = await bench.rest.delete("/v2/positions/KO")
    sold_order = await bench.settled(sold.json()["id"])

    assert bought["filled_avg_price"] == "62.25"
    assert sold_order["filled_avg_price"] == "70"
    nursery.cancel_scope.cancel()


@within(10)
async def test_a_control_fixes_a_price_and_a_quote_frees_it(start: Start) -> None:
    bench = await start()
    control = "/control/paper/quote"
    for _ in range(3):
        body = {"symbol": "KO", "price": 50, "fixed": True}
        assert (await bench.rest.post(control, json=body)).status_code == 204
        order = await bench.settled((await bench.order()).json()["id"])
        assert Decimal(order["filled_avg_price"]) == 50
    await bench.rest.post(control, json={"symbol": "KO", "price": 60})
    order = await bench.settled((await bench.order()).json()["id"])
    assert order["filled_avg_price"] != "60"
    assert abs(Decimal(order["filled_avg_price"]) - 60) < 1


@within(10)
async def test_a_file_that_goes_away_leaves_the_prices_as_they_are(
    start: Start,
    tmp_path: Path,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench, path = await start(), tmp_path / "prices.csv"
    path.write_text("KO,62\n")
    file: PriceFile = bench.exchange.follow_prices(path)
    file.read()
    path.unlink()
    nursery.start_soon(file.run)
    await trio.sleep(0.7)

    order = await bench.settled((await bench.order()).json()["id"])

    assert order["filled_avg_price"] == "62"
    assert len(caplog.messages) == 1, "said once"
    nursery.cancel_scope.cancel()
