from __future__ import annotations

from snexec.bench.pair_report import fields_of, lines_of, report_pairs
from tests.bench.figures import made_up_pairs


def test_each_figure_stands_beside_the_floor_and_its_goal() -> None:
    figures = [
        (line.value, line.beside, line.ratio, line.most, line.is_met)
        for line in lines_of(made_up_pairs(), 500)
    ]
    assert figures == [
        (600.0, 500.0, 1.2, 1.2, True),
        (900.0, 600.0, 1.5, 1.3, False),
        (33.0, 30.0, 1.1, 1.2, True),
    ]


def test_the_table_names_the_language_of_the_floor() -> None:
    text = report_pairs(made_up_pairs(), 500)
    assert "in C" in text
    assert "500 at once: last POST, ms" in text
    assert fields_of(made_up_pairs(), 500)["language"] == "C"
