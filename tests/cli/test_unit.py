"""The unit that the command prints, by what systemd itself makes of it."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snexec.cli.unit import make_unit
from snexec.errors import ConfigError
from snexec.settings import load_settings
from tests.integration.harness import Box, short_folder


def unit_of(folder: Path, text: str = "", *, user: str | None = "daemon") -> str:
    config = folder / "config.toml"
    config.write_text(text)
    return make_unit(config, load_settings(config), user=user)


def values(unit: str, key: str) -> list[str]:
    lines = [line.partition("=") for line in unit.splitlines()]
    return [value for name, _, value in lines if name == key]


def verify(unit: str, folder: Path) -> str:
    """Return what systemd's own check has to say."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    path = folder / "snexec.service"
    path.write_text(unit)
    said = subprocess.run(
        ["systemd-analyze", "verify", str(path)],  # noqa: S607 - whichever there is
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return said.stdout + said.stderr


def test_it_names_this_installation_and_this_file(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)

    [command] = values(unit, "ExecStart")
    program, *words = command.split()
    assert Path(program).is_absolute()
    assert program.startswith(str(Path(sys.executable).parent))
    assert words[-2:] == ["--config", str(tmp_path / "config.toml")]
    assert values(unit, "WorkingDirectory") == [str(tmp_path)]
    assert values(unit, "User") == ["daemon"]
    assert values(unit, "ReadWritePaths") == [str(tmp_path)]


def test_systemd_finds_no_fault_in_it(tmp_path: Path) -> None:
    assert verify(unit_of(tmp_path), tmp_path) == ""


def test_systemd_understands_awkward_paths(tmp_path: Path) -> None:
    folder = tmp_path / 'a b%n$HOME"q'
    folder.mkdir()
    unit = unit_of(folder)

    assert verify(unit, tmp_path) == ""
    [command] = values(unit, "ExecStart")
    escaped = str(folder / "config.toml").replace("%", "%%").replace('"', '\\"')
    assert command.endswith('"' + escaped.replace("$", "$$") + '"')


def test_both_folders_that_it_writes_to_are_named_once(tmp_path: Path) -> None:
    text = 'database = "data/t.db"\n[intake]\nsocket = "/run/sn/s.sock"'

    [paths] = values(unit_of(tmp_path, text), "ReadWritePaths")

    assert paths.split() == [str(tmp_path / "data"), "/run/sn"]


def test_a_stop_has_more_time_than_the_daemon_takes(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, "[intake]\nshutdown_timeout_sec = 45.5")

    assert values(unit, "TimeoutStopSec") == ["56"]
    assert values(unit, "WatchdogSec") == ["60"]
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "RestartPreventExitStatus") == ["2"]


def test_it_holds_for_systemd_before_253_as_well(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)

    assert values(unit, "Type") == ["notify"]
    assert values(unit, "NotifyAccess") == ["main"]
    assert values(unit, "ExecReload") == ["/bin/kill -HUP $MAINPID"]


def test_no_folder_that_it_needs_is_hidden(tmp_path: Path) -> None:
    text = 'database = "/home/trader/t.db"\n[intake]\nsocket = "/run/sn/s.sock"'
    unit = unit_of(tmp_path, text)

    assert values(unit, "ProtectHome") == ["read-only"]
    assert values(unit, "ReadWritePaths") == ["/home/trader /run/sn"]
    in_tmp = 'database = "/tmp/t.db"\n[intake]\nsocket = "/run/sn/s.sock"'
    assert values(unit_of(tmp_path, in_tmp), "PrivateTmp") == ["no"]


def test_the_interpreter_behind_a_venvs_link_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'database = "/srv/t.db"\n[intake]\nsocket = "/run/sn/s.sock"'
    monkeypatch.setattr(sys, "base_prefix", "/root/.pyenv/versions/3.13")
    assert values(unit_of(tmp_path, text), "ProtectHome") == ["read-only"]


def test_a_command_that_is_notified_may_be_in_any_language(tmp_path: Path) -> None:
    told = unit_of(tmp_path, '[notify]\ncommand = ["/usr/bin/node", "tell.js"]')

    assert values(unit_of(tmp_path), "MemoryDenyWriteExecute") == ["yes"]
    assert values(told, "MemoryDenyWriteExecute") == []
    assert "node" not in told, "a command's words may hold a secret"


def test_it_runs_as_who_asks_and_never_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert values(unit_of(tmp_path, user=None), "User") == ["snexec"]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(getpass, "getuser", lambda: "trader")
    assert values(unit_of(tmp_path, user=None), "User") == ["trader"]


def test_a_path_with_a_line_break_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a\nExecStart=evil"
    folder.mkdir()

    with pytest.raises(ConfigError, match="cannot stand in a unit file"):
        unit_of(folder)


def test_no_key_is_in_it(tmp_path: Path) -> None:
    text = '[alpaca]\napi_key = "hush"\napi_secret = "hush"'

    assert "hush" not in unit_of(tmp_path, text)


async def test_the_command_prints_it_and_refuses_a_bad_configuration() -> None:
    with short_folder() as folder:
        box = Box(folder)
        box.configure()
        printed = await box.run("unit", "--user", "trader")
        assert printed.returncode == 0
        assert b"User=trader\n" in printed.stdout
        box.config.write_text("mod = 1")
        refused = await box.run("unit")

    assert refused.returncode == 2
    assert refused.stdout == b""


def test_it_says_what_a_stop_means_where_positions_are_watched(tmp_path: Path) -> None:
    watched = unit_of(tmp_path, "[exits]\nhard_stop_loss_pct = 5")
    said = "# While it is stopped nothing is sold by a rule; stops that rest at the"
    assert said in watched
    assert said not in unit_of(tmp_path)
    assert verify(watched, tmp_path) == ""


# One for each account


def template_of(folder: Path, text: str = "") -> str:
    folder.mkdir(exist_ok=True)
    config = folder / "config.toml"
    config.write_text(text)
    settings = load_settings(config)
    return make_unit(config, settings, user="daemon", template=True)


def test_a_template_names_the_instance_wherever_the_folder_was(tmp_path: Path) -> None:
    unit = template_of(tmp_path / "paper")

    [command] = values(unit, "ExecStart")
    assert command.endswith(f"--config {tmp_path}/%i/config.toml")
    assert values(unit, "WorkingDirectory") == [f"{tmp_path}/%i"]
    assert values(unit, "ReadWritePaths") == [f"{tmp_path}/%i"]
    assert "/etc/snexec/%i/APCA_API_KEY_ID" in unit
    assert "/etc/systemd/system/snexec@.service" in unit
    assert "systemctl enable --now snexec@paper" in unit
    assert f"{tmp_path}/paper/" not in unit.partition("[Unit]")[2]


def test_a_template_of_what_accounts_would_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shared by all accounts"):
        template_of(tmp_path / "paper", f'database = "{tmp_path}/all.db"')


def test_a_template_keeps_a_percent_of_a_path(tmp_path: Path) -> None:
    unit = template_of(tmp_path / "50%")
    assert values(unit, "WorkingDirectory") == [f"{tmp_path}/%i"]


def test_systemd_finds_no_fault_in_a_template(tmp_path: Path) -> None:
    assert verify(template_of(tmp_path / "paper"), tmp_path) == ""


def test_with_redis_its_address_may_be_a_credential(tmp_path: Path) -> None:
    assert "SNEXEC_REDIS_URL" not in unit_of(tmp_path)
    assert "/etc/snexec/SNEXEC_REDIS_URL" in unit_of(tmp_path, "[redis]")


def test_the_tokens_of_producers_may_be_a_credential(tmp_path: Path) -> None:
    assert "SNEXEC_HTTP_TOKENS" not in unit_of(tmp_path)
    http = '[http]\nenabled = true\nlisten = "127.0.0.1:0"\n'
    assert "/etc/snexec/SNEXEC_HTTP_TOKENS" in unit_of(tmp_path, http)


def test_systemd_makes_the_folders_below_its_own(tmp_path: Path) -> None:
    text = 'database = "/var/lib/sn/t.db"\n[intake]\nsocket = "/run/sn/s.sock"\n'
    unit = unit_of(tmp_path, text)
    assert values(unit, "StateDirectory") == ["sn"]
    assert values(unit, "RuntimeDirectory") == ["sn"]
    assert values(unit, "RuntimeDirectoryMode") == ["0700"]
    assert values(unit, "ReadWritePaths") == ["/var/lib/sn /run/sn"]
    assert verify(unit, tmp_path) == ""
    shared = unit_of(tmp_path, text + 'socket_group = "feeders"\nsocket_mode = "0660"')
    assert values(shared, "RuntimeDirectoryMode") == ["0755"]
    assert values(shared, "SupplementaryGroups") == ["feeders"]
    assert values(unit_of(tmp_path), "StateDirectory") == []
