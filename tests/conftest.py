"""What every test of the daemon has: a clock, a store, and no unseen errors."""

from __future__ import annotations

import gc
import inspect
import logging
import math
import os
import ssl
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import trio
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from trio.testing import MockClock

from snexec.threads import Worker
from tests.fakes import FakeClock, Rig, TrioClock, make_settings, open_store

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterator,
        Sequence,
    )

    from trio.abc import Clock, Instrument

    from snexec.ledger.store import Store

# A machine under load is no reason to fail.
hypothesis_settings.register_profile(
    "snexec", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("snexec")

# Nor is one behind a proxy: the daemon would say at each start that it does not use it.
for _name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
    for _spelling in (_name, _name.lower()):
        os.environ.pop(_spelling, None)


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers of this suite."""
    config.addinivalue_line(
        "markers", "jumping_time: Trio's clock jumps ahead whenever every task waits"
    )
    config.addinivalue_line(
        "markers", "frozen_time: Trio's clock moves when it is told"
    )


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Have each worker begin elsewhere, so that no two compile the same at first."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker is not None and collector.path == Path(__file__).parent:
        number = int(worker["workerid"].removeprefix("gw"))
        begin = len(report.result) * number // worker["workercount"]
        report.result = [*report.result[begin:], *report.result[:begin]]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the async tests of a marked module on a clock of their own.

    pytest-trio takes a clock from a test's own parameters only, not from fixtures.
    """
    # In the same order in each worker, wherever it began.
    items.sort(key=lambda item: item.path)
    for item in items:
        if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
            continue
        for name, threshold in (("jumping_time", 0.0), ("frozen_time", math.inf)):
            if item.get_closest_marker(name) is not None:
                item.add_marker(
                    pytest.mark.trio(run=partial(run_on_mock_clock, threshold))
                )


def pytest_collection_finish() -> None:
    """Have the garbage collector pass by the suite, in which it finds nothing.

    To look through ten thousand tests again and again took it as long as they take.
    """
    gc.freeze()


def run_on_mock_clock(
    autojump_threshold: float,
    main: Callable[[], Awaitable[None]],
    *,
    clock: Clock | None = None,
    instruments: Sequence[Instrument] = (),
) -> None:
    """Run something as a test of a marked module is run, on a clock that begins at 0."""
    if clock is None:
        clock = MockClock(autojump_threshold=autojump_threshold)
    with ExitStack() as stack:
        if autojump_threshold == 0:
            # A clock that jumps waits for no thread.
            work_in_place = mock.patch.object(
                Worker, "begin", lambda _worker, job: job.work()
            )
            stack.enter_context(work_in_place)
        trio.run(main, clock=clock, instruments=instruments)


class LoggedErrors:
    """What was logged at ERROR or above, and which of it the test has expected."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._taken = 0

    def take(self) -> list[str]:
        """Return what was logged since the last call, and count it as expected."""
        messages = [
            record.getMessage()
            for record in self._caplog.get_records("call")
            if record.levelno >= logging.ERROR
        ]
        new = messages[self._taken :]
        self._taken = len(messages)
        return new


@pytest.fixture(autouse=True)
def logged_errors(caplog: pytest.LogCaptureFixture) -> Iterator[LoggedErrors]:
    """Fail a test that logs an error which it does not take and assert."""
    errors = LoggedErrors(caplog)
    yield errors
    assert errors.take() == [], "logged at ERROR, and the test did not expect it"


@pytest.fixture
def clock() -> FakeClock:
    """Give a wall clock that stands still."""
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give the path of a database that is not there yet."""
    return tmp_path / "snexec.db"


@pytest.fixture
def store(database: Path, clock: FakeClock) -> Iterator[Store]:
    """Give a store on a real file."""
    opened = open_store(database, clock)
    yield opened
    opened._db.close()


@pytest.fixture
async def make_rig(database: Path) -> AsyncIterator[Callable[..., Rig]]:
    """Give a function that wires the order side; its keywords are config sections.

    For modules marked ``jumping_time``; the wall clock goes with Trio's.
    """
    assert trio.current_time() == 0, "this test is not marked jumping_time"
    rigs: list[Rig] = []

    def make(*, id_salt: str = "", **sections: object) -> Rig:
        clock = TrioClock()
        rig = Rig(
            config=make_settings(**sections),
            clock=clock,
            store=open_store(database, clock),
            id_salt=id_salt,
        )
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.store._db.close()


@pytest.fixture
async def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Give the order side with the settings of the README."""
    return make_rig()


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for one test run.

    Attributes:
        bundle: Its own certificate.
        folder: A folder as SSL_CERT_DIR names one.
        server: For a server at 127.0.0.1.
        other: For a server of another name.
    """

    bundle: Path
    folder: Path
    server: ssl.SSLContext
    other: ssl.SSLContext


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a throwaway authority with the openssl command."""
    root = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(
            ["openssl", *words],  # noqa: S607 - whichever is installed
            cwd=root,
            check=True,
            capture_output=True,
            timeout=30,
        )

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        *("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        *("-subj", "/CN=throwaway CA", "-addext", "keyUsage=critical,keyCertSign"),
    )

    def issue(name: str, subject: str) -> ssl.SSLContext:
        (root / f"{name}.ext").write_text(f"subjectAltName={subject}\n")
        openssl(
            "req",
            *new,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            "/CN=x",
        )
        openssl(
            *(
                "x509",
                "-req",
                "-in",
                f"{name}.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
            ),
            *("-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"),
            *("-out", f"{name}.pem"),
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(root / f"{name}.pem", root / f"{name}.key")
        return context

    folder = root / "folder"
    folder.mkdir()
    (folder / "ca.pem").write_bytes((root / "ca.pem").read_bytes())
    openssl("rehash", "folder")
    return Authority(
        bundle=root / "ca.pem",
        folder=folder,
        server=issue("server", "IP:127.0.0.1"),
        other=issue("other", "DNS:paper-api.alpaca.markets"),
    )
