from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from snexec.bench import measure
from snexec.bench.brokers import stand_in
from snexec.bench.row_floor import RowFloor, build
from snexec.bench.subjects import FLOOR, Places, row_floor
from tests.integration.harness import short_folder


def in_c(folder: Path) -> RowFloor:
    built = build(folder)
    if built.language != "C":
        pytest.skip("no C compiler with SQLite's header is here")
    return built


def in_python(_folder: Path) -> RowFloor:
    return RowFloor("Python", FLOOR)


@pytest.mark.parametrize("made", [in_c, in_python])
def test_a_row_is_committed_for_each_signal_and_each_order_comes(made: object) -> None:
    assert callable(made)
    with short_folder() as folder:
        places = Places(folder=folder, disk=folder, connections=4)
        with (
            stand_in(folder) as broker,
            row_floor(places, broker.port, made(folder).command) as subject,
        ):
            found = measure.singles(subject, broker, 5)
            burst = measure.burst(subject, broker, 50)
            with closing(sqlite3.connect(folder / "row-floor.db")) as rows:
                query = "SELECT count(*), count(DISTINCT symbol) FROM BotTrade"
                assert rows.execute(query).fetchone() == (65, 65)
    assert len(found.latencies_us) == 5
    assert (burst.lost, burst.out_of_order) == (0, 0)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_where_nothing_can_be_built_the_floor_is_in_python(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compiler == "no-such-compiler" or shutil.which(compiler)
    monkeypatch.setenv("CC", compiler)
    assert build(tmp_path) == RowFloor("Python", FLOOR)
