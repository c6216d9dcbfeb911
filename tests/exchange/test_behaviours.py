"""Which behaviour each order meets."""

from snexec.exchange.behaviours import BEHAVES, Behaviours
from snexec.exchange.settings import Behaviour

REJECTS = Behaviour(reject=True)
SELLS_LATE = Behaviour(side="sell", fill_delay_sec=9)


def test_a_side_may_misbehave_alone() -> None:
    behaviours = Behaviours({"KO": SELLS_LATE})
    assert behaviours.of("KO", "sell") is SELLS_LATE
    assert behaviours.of("KO", "buy") is BEHAVES


def test_what_is_set_for_one_side_comes_before_what_is_set_for_both() -> None:
    behaviours = Behaviours({})
    behaviours.set("KO", REJECTS)
    behaviours.set("KO", SELLS_LATE)
    assert behaviours.of("KO", "sell") is SELLS_LATE
    assert behaviours.of("KO", "buy") is REJECTS


def test_once_one_sides_is_worn_out_the_others_holds() -> None:
    behaviours = Behaviours({})
    behaviours.set("KO", REJECTS)
    behaviours.set("KO", Behaviour(side="sell", refuse=403, times=1))
    assert behaviours.take("KO", "sell").refuse == 403
    assert behaviours.take("KO", "sell") is REJECTS


def test_a_pair_is_one_symbol_however_it_is_spelled() -> None:
    behaviours = Behaviours({"BTCUSD": REJECTS})
    assert behaviours.of("BTC/USD") is REJECTS
    behaviours.clear("BTC/USD")
    assert behaviours.of("BTCUSD") is BEHAVES


def test_setting_it_anew_counts_anew() -> None:
    once = Behaviour(reject=True, times=1)
    behaviours = Behaviours({"KO": once})
    for _ in range(2):
        assert behaviours.take("KO", "buy") is once
        assert behaviours.take("KO", "buy") is BEHAVES
        behaviours.set("KO", once)
