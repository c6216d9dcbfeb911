"""A start that is refused says why in one line, exits 1 and leaves nothing running."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from tests.integration.harness import Box, short_folder

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

# Nobody answers there: what is refused comes before the first request.
NOWHERE: dict[str, object] = {
    "simulate": False,
    "paper_url": "https://127.0.0.1:1",
    "live_url": "https://127.0.0.1:1",
}


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the one line that says why, without the program's name."""
    lines = [
        line
        for line in done.stderr.decode().splitlines()
        if "SIMULATED: the built-in exchange answers" not in line
    ]
    assert done.returncode == 1, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("snexec: ")
    return lines[0].removeprefix("snexec: ")


async def test_a_large_database_is_read_through_beside_trading_and_damage_ends_it() -> (
    None
):
    with short_folder() as folder:
        box = Box(folder)
        with contextlib.closing(
            open_database(box.database, simulated=True, clock=SystemClock())
        ) as connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt)"
                " VALUES (?, 'KO', 'closed', 'then', 'then')",
                ((f"{number:0200}",) for number in range(20_000)),
            )
            connection.execute("COMMIT")
        with box.database.open("r+b") as file:
            file.seek(box.database.stat().st_size // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096)
        box.configure(alpaca=NOWHERE | {"simulate": True})

        done = await box.run()

        lines = done.stderr.decode().splitlines()
        assert done.returncode == 1, lines
        assert lines[-1].startswith(f"snexec: database: {box.database} is damaged: ")
        assert any("stopping: the database is damaged" in line for line in lines)


@pytest.mark.parametrize("text", [None, "no certificate"])
async def test_certificates_that_cannot_be_read_refuse_the_start(
    text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    if text is not None:
        bundle.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with short_folder() as folder:
        box = Box(folder)
        box.configure(alpaca=NOWHERE)

        said = refusal(await box.run())

        assert said.startswith("SSL_CERT_FILE/SSL_CERT_DIR cannot be used: ")
        assert [path.name for path in folder.iterdir()] == ["config.toml"]


async def test_a_port_that_is_taken_refuses_the_exchange() -> None:
    with short_folder() as folder, socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        box = Box(folder)
        box.configure()

        said = refusal(await box.run("exchange", "--port", str(port)))

        assert said == f"exchange: port {port}: Address already in use"
