"""Switching the account, and the daemon that follows."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from snexec.cli import mode as mode_module
from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from tests.cli.conftest import SHIPPED, as_live, configure_simulated, running
from tests.integration.harness import alpaca
from tests.ledger.hands import add_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.exchange.server import Exchange
    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

KEYS = {
    "APCA_LIVE_API_KEY_ID": "AKLIVEKEYLIVEKEY",
    "APCA_LIVE_API_SECRET_KEY": "live/secret+of=mine",
}


@pytest.fixture
def real_box(
    box: Box, broker: Exchange, monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> Box:
    """Give a box that trades real money, or so it thinks."""
    del desk
    box.configure(alpaca=alpaca(broker))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return box


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_the_mode_that_is_set_already_changes_nothing(
    desk: Desk, shipped: Box, mode: str
) -> None:
    desk.run(shipped.config, "mode", mode, "--yes")
    before = shipped.config.stat().st_mtime_ns

    done = desk.run(shipped.config, "mode", mode)

    assert done.status == 0
    assert f"says {mode} already, and no daemon runs: nothing to do" in done.out
    assert shipped.config.stat().st_mtime_ns == before


def test_live_without_a_terminal_is_refused(desk: Desk, shipped: Box) -> None:
    done = desk.run(shipped.config, "mode", "live", stdin=b"live\n")

    assert (done.status, done.out) == (1, "")
    assert "give --yes; nothing was changed" in done.err
    assert shipped.config.read_text() == SHIPPED


@pytest.mark.parametrize("typed", [b"yes\n", b"\n", b"LIVE\n", b""])
def test_live_takes_no_other_word(desk: Desk, shipped: Box, typed: bytes) -> None:
    done = desk.run(shipped.config, "mode", "live", stdin=typed, typing=True)

    assert done.status == 1
    assert "SIMULATED" in done.out
    assert shipped.config.read_text() == SHIPPED


def test_live_states_the_account_first_and_shows_no_secret(
    desk: Desk, real_box: Box
) -> None:
    done = desk.run(real_box.config, "mode", "live", stdin=b"live\n", typing=True)

    said, account, warning, prompt, *_ = done.lines
    assert done.status == 0
    assert said == "LIVE: from then on orders are placed with real money"
    assert account == "account: *****ATED, ACTIVE, buying power $400,000.00"
    assert warning.startswith("WARNING: no limit on positions, loss, orders or dollars")
    assert prompt.startswith("Type the word live to switch")
    assert 'mode = "live"' in real_box.config.read_text()
    assert not any(value in done.out + done.err for value in KEYS.values())


def test_live_with_a_limit_is_no_warning(desk: Desk, real_box: Box) -> None:
    real_box.configure(bot={"daily_loss_limit_usd": 100.0})

    done = desk.run(real_box.config, "mode", "live", stdin=b"no\n", typing=True)

    assert "WARNING" not in done.out


def test_live_says_before_the_word_what_open_paper_rows_will_do(
    desk: Desk, real_box: Box
) -> None:
    open_database(real_box.database, simulated=False, clock=SystemClock()).close()
    for symbol, mode in (("KO", "paper"), ("AAPL", "paper"), ("MSFT", "live")):
        add_row(real_box.database, id=f"sn-{symbol}", symbol=symbol, mode=mode)

    done = desk.run(real_box.config, "mode", "live", stdin=b"no\n", typing=True)

    [line] = [line for line in done.lines if "open paper rows" in line]
    assert line == (
        "2 open paper rows keep live from buying AAPL, KO until they are closed; paper"
        " and live are better kept apart: a database for each"
    )
    assert done.lines.index(line) < next(
        n for n, line in enumerate(done.lines) if line.startswith("Type the word")
    )


def test_live_without_keys_says_so(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)

    done = desk.run(real_box.config, "mode", "live", stdin=b"no\n", typing=True)

    assert "there are no keys for live: no order can be placed" in done.out
    assert done.err == "snexec: not confirmed: nothing was changed\n"


def test_an_account_that_cannot_be_asked_does_not_keep_one_from_deciding(
    desk: Desk, real_box: Box
) -> None:
    real_box.configure(
        alpaca={"simulate": False, "live_url": "http://127.0.0.1:1/secret"}
    )

    done = desk.run(real_box.config, "mode", "live", stdin=b"no\n", typing=True)

    assert "account: could not be asked (" in done.out
    assert 'mode = "paper"' in real_box.config.read_text()


def test_at_a_real_terminal_the_word_is_typed(shipped: Box) -> None:
    controlling, terminal = pty.openpty()
    process = subprocess.Popen(
        shipped.command("mode", "live"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=shipped.environment(),
    )
    os.close(terminal)
    shown = b""
    while b"to switch" not in shown:
        shown += os.read(controlling, 1000)
    os.write(controlling, b"live\n")
    try:
        while data := os.read(controlling, 1000):
            shown += data
    except OSError:
        pass  # its end
    os.close(controlling)

    assert process.wait(20) == 0, shown
    assert shipped.config.read_text() == as_live(SHIPPED)


def test_a_running_daemon_follows_and_says_so(desk: Desk, box: Box) -> None:
    configure_simulated(box)
    with running(box) as daemon:
        there = desk.run(box.config, "mode", "live", "--yes")
        status = desk.run(box.config, "status", "--json").json()
        again = desk.run(box.config, "mode", "live")
        box.config.write_text(box.config.read_text().replace('"live"', '"paper"'))
        unsaid = desk.run(box.config, "mode", "paper")
        log = box.log()

    assert there.status == again.status == unsaid.status == 0
    assert there.lines[-1] == (
        f"the daemon (pid {daemon.pid}) runs live now (SIMULATED), stream authorized"
    )
    assert (status["mode"], status["stream"]) == ("live", "authorized")
    assert "and so does the daemon: nothing to do" in again.out
    assert unsaid.lines == [
        f"the daemon (pid {daemon.pid}) runs paper now (SIMULATED), stream authorized"
    ]
    assert log.count("mode is live now (was paper)") == 1


def test_a_daemon_that_does_not_follow_is_told(
    desk: Desk,
    shipped: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mode_module, "_FOLLOW_SECONDS", 0.2)
    daemon = fake_daemon(says(reload={"status": "ok"}))

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 1
    assert b'{"command":"reload"}\n' in daemon.lines
    assert "the daemon still runs paper after 0.2 s: its log says why" in done.err


def test_no_process_is_signalled_whatever_pid_the_daemon_says(
    desk: Desk,
    shipped: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mode_module, "_FOLLOW_SECONDS", 0.2)
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        try:
            # What a daemon in another pid namespace says is somebody else's here.
            fake_daemon(says(pid=bystander.pid, reload={"status": "ok"}))
            desk.run(shipped.config, "mode", "live", "--yes")
            with pytest.raises(subprocess.TimeoutExpired):
                bystander.wait(0.2)
        finally:
            bystander.kill()


def test_a_daemon_that_refuses_the_file_says_why(
    desk: Desk, shipped: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(says(reload={"status": "refused", "error": "no keys for live"}))

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 1
    assert "the daemon refuses it: no keys for live" in done.err


def test_a_daemon_that_cannot_be_told_is_left_to_its_user(
    desk: Desk, shipped: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(says(reload={"status": "invalid", "error": "command: must be"}))

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 1
    assert "restart it, or send it SIGHUP" in done.err


def says(*, pid: int = 4711, reload: dict[str, str]) -> Callable[[bytes], bytes]:
    """Make what a daemon in paper says to a status and to a reload."""

    def answer(line: bytes) -> bytes:
        said = reload if b"reload" in line else {"mode": "paper", "pid": pid}
        return json.dumps(said).encode() + b"\n"

    return answer
