"""The config file, and what is said about its faults."""

import os
from pathlib import Path

import pytest

from snexec.errors import ConfigError
from snexec.settings import load
from snexec.settings.load import load_settings, read_config, unended_number
from snexec.small_files import SmallFile
from tests.settings.conftest import ConfigFile, assert_hidden


@pytest.mark.parametrize("name", ["alpaca", "intake", "stream", "bot", "exchange"])
@pytest.mark.parametrize("literal", ["1", '"x"', "true", "[]", "[{}]"])
def test_a_section_must_be_a_table(file: ConfigFile, name: str, literal: str) -> None:
    assert file.refusal(f"{name} = {literal}") == f"{name}: must be a [{name}] table"


def test_every_fault_is_named_at_once(file: ConfigFile) -> None:
    said = file.refusal("mode = 1\n[bot]\nenabled = 1\n[intake]\nmax_pending = 0")

    assert [part.split(":")[0] for part in said.split("; ")] == [
        "mode",
        "intake.max_pending",
        "bot.enabled",
    ]


@pytest.mark.parametrize(
    ("literal", "shown"), [("nan", "NaN"), ("-inf", "-Infinity"), ("0.25", "0.25")]
)
def test_a_number_is_shown_as_one(file: ConfigFile, literal: str, shown: str) -> None:
    said = file.refusal(f"[bot]\ntrade_size_stars3 = {literal}")
    assert said.endswith(f"(got {shown})")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"

    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value) == f"{path}: No such file or directory"


def test_a_directory_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert str(caught.value) == f"{tmp_path}: Is a directory"


def test_a_pipe_in_the_files_place_is_refused_and_not_waited_for(
    file: ConfigFile,
) -> None:
    os.mkfifo(file.path)

    with pytest.raises(ConfigError) as caught:
        load_settings(file.path)
    assert str(caught.value) == f"{file.path}: is not a regular file"


def test_a_device_without_an_end_is_refused(file: ConfigFile) -> None:
    file.path.symlink_to("/dev/zero")

    with pytest.raises(ConfigError) as caught:
        load_settings(file.path)
    assert str(caught.value) == f"{file.path}: is not a regular file"


def test_a_file_of_more_than_a_mebibyte_is_refused(file: ConfigFile) -> None:
    comment = b"#" * (1 << 20)

    assert file.load(comment.decode()) == file.load("")
    assert file.refusal(comment + b"#") == "is larger than 1048576 bytes"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bot]\nmax_orders_per_day = {}", "bot.max_orders_per_day: Input should be "),
        ("[bot]\nsymbols_blocked = [{}]", "bot.symbols_blocked.0: Input should be "),
        ("[bot]\nmax_share_price = [{{{} = 1}}]", "must be a number of dollars"),
    ],
)
def test_a_value_that_cannot_be_shown_is_refused_all_the_same(
    file: ConfigFile, text: str, said: str
) -> None:
    value = ".".join("a" * 20_000) if "{{" in text else f"0x{'f' * 5000}"
    assert said in file.refusal(text.format(value))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(file: ConfigFile, ends: str) -> None:
    text = ends.join(['mode = "live"', "[bot]", 'state = "paused"', ""])
    file.path.write_bytes(text.encode())

    settings = load_settings(file.path)
    assert (settings.mode, settings.bot.state) == ("live", "paused")


@pytest.mark.parametrize(("changes", "taken"), [(3, True), (1000, False)])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch, *, changes: int, taken: bool
) -> None:
    file.path.write_text('mode = "paper"\n')
    left = iter(range(changes))

    def read(path: Path) -> SmallFile:
        if next(left, None) is None:
            return read_config(path)
        return SmallFile(b'mode = "live"\n', steady=False)

    monkeypatch.setattr(load, "read_config", read)
    if taken:
        assert load_settings(file.path).mode == "paper"
    else:
        with pytest.raises(ConfigError, match=r"config\.toml: is being written$"):
            load_settings(file.path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode = ", "Invalid value (at end of document)"),
        ('mode = "paper"\nmode = "live"', "Cannot overwrite a value"),
        ("mode = null", "Invalid value (at line 1, column 8)"),
        ("mode = paper", "Invalid value (at line 1, column 8)"),
        ("\0", "Invalid statement"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_place(
    file: ConfigFile, text: str, said: str
) -> None:
    assert said in file.refusal(text)


def test_what_is_no_utf_8_is_refused(file: ConfigFile) -> None:
    assert "can't decode byte 0xff" in file.refusal(b'mode = "\xff"')


def test_nested_brackets_are_refused_like_any_other_text(file: ConfigFile) -> None:
    assert file.refusal("x = " + "[" * 10_000 + "]" * 10_000) != ""


def test_an_integer_of_too_many_digits_is_refused(file: ConfigFile) -> None:
    assert file.refusal("[intake]\nmax_pending = " + "9" * 5_000) != ""


def test_paths_are_relative_to_the_file_and_not_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "config.toml"
    path.write_text('database = "data/x.db"\n[intake]\nsocket = "x.sock"')
    monkeypatch.chdir(tmp_path)

    settings = load_settings(Path("etc/config.toml"))

    assert settings.database == str(tmp_path / "etc" / "data" / "x.db")
    assert settings.intake.socket == str(tmp_path / "etc" / "x.sock")


def test_absolute_paths_stay(file: ConfigFile) -> None:
    settings = file.load('database = "/var/x.db"\n[intake]\nsocket = "/run/x.sock"')

    assert settings.database == "/var/x.db"
    assert settings.intake.socket == "/run/x.sock"


@pytest.mark.parametrize("letter", ["x", "ä"])  # of one byte, and of two
def test_a_socket_path_of_107_bytes_is_the_longest(
    file: ConfigFile, letter: str
) -> None:
    longest = 107 - len("/run/")
    name = letter * (longest // len(letter.encode()))
    name += "x" * (longest - len(name.encode()))

    assert file.load(f'[intake]\nsocket = "/run/{name}"').intake.socket[5:] == name
    said = file.refusal(f'[intake]\nsocket = "/run/{name}x"')
    assert said == (
        f"intake.socket: /run/{name}x is longer than the 107 bytes that a Unix"
        " socket's path may have"
    )


@pytest.mark.parametrize(
    "text",
    [
        '[alpaca]\napi_key = "hush"',
        '[alpaca]\napi_key = ["hush"]\napi_secret = "x"',
        '[alpaca]\napi_key = {x = "hush"}\napi_secret = "x"',
        '[alpaca]\napi_key = "x"\napi_secret = {api = {x = "hush"}}',
        '[alpaca]\napi_key = "hu hush"\napi_secret = "hush\\n"',
        '[alpaca]\napi_key = ""\napi_secret = "hush"',
        '[alpaca]\napi_key = "hush"\napi_secret = "hush"\nsimulate = 1',
        '[alpaca]\nkey = "hush"',
        '[alpaca]\nAPI_KEY = "hush"',
        '[alpaca]\nsimulate = {api_key = "hush"}',
        '[[alpaca]]\napi_key = "hush"',
        'alpaca = "hush"',
        'api_key = "hush"\napi_secret = "hush"',
        '[bot]\napi_secret = "hush"',
        '[keys]\napi_secret = "hush"',
        '[alpaca]\napi_key = "hush\nx',
    ],
)
def test_no_fault_of_the_file_shows_a_secret(file: ConfigFile, text: str) -> None:
    file.path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_settings(file.path)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"[bot]\nsymbol_cooldown_sec = 6", "symbol_cooldown_sec"),
        (b"[bot]\r\n  x=0.", "x"),
        (b"x = 1\nbot.min_win_rate = 0.3", "min_win_rate"),
        (b"x = 1\nbot . 'min_win_rate' = 3e1", "min_win_rate"),
        (b"x = 6\n", None),
        (b"x = 6 # of minutes", None),
        (b'x = "6"', None),
        (b"x = [6]", None),
        (b"# x = 6", None),
        (b"[bot]", None),
        (b"", None),
    ],
)
def test_a_number_that_ends_the_file_is_named(content: bytes, name: str | None) -> None:
    assert unended_number(content) == name
