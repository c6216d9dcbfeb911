"""What SIGHUP applies, and what it leaves."""

from snexec.settings.live import changed_keys, reloadable, with_reloaded
from tests.settings.conftest import IN_FILE, ConfigFile
from tests.settings.keys import BY_NAME, KEYS, Key


def test_nothing_changed_is_no_change(file: ConfigFile) -> None:
    assert changed_keys(file.load(IN_FILE), file.load(IN_FILE)) == []


@BY_NAME
def test_a_changed_key_is_named(file: ConfigFile, key: Key) -> None:
    names = changed_keys(file.load(""), file.load(key.file(key.good[0])))

    section = key.name.split(".")[0]
    assert names == ([section] if section == "exchange" else [key.name])


@BY_NAME
def test_mode_bot_and_urls_hold_without_a_restart_and_nothing_else(key: Key) -> None:
    assert reloadable(key.name) is key.reloads


def test_changed_secrets_are_named_and_hold_without_a_restart(
    file: ConfigFile,
) -> None:
    names = changed_keys(file.load(""), file.load(IN_FILE))

    assert names == ["alpaca.api_key", "alpaca.api_secret"]
    assert all(reloadable(name) for name in names)


def everything_changed() -> str:
    top, sections = [], {"alpaca": ['api_key = "k"', 'api_secret = "s"']}
    for key in KEYS:
        *section, name = key.name.split(".")
        line = f"{name} = {key.good[0]}"
        if section:
            sections.setdefault(section[0], []).append(line)
        else:
            top.append(line)
    for section_name, lines in sections.items():
        top += [f"[{section_name}]", *lines]
    return "\n".join(top)


def test_a_reload_takes_what_needs_no_restart_and_leaves_the_rest(
    file: ConfigFile,
) -> None:
    old, new = file.load(""), file.load(everything_changed())

    merged = with_reloaded(old, new)

    changed = changed_keys(old, new)
    assert set(changed) >= {key.name for key in KEYS if "exchange" not in key.name}
    assert changed_keys(old, merged) == [n for n in changed if reloadable(n)]
    assert changed_keys(merged, new) == [n for n in changed if not reloadable(n)]


def test_a_reload_takes_nothing_from_the_same_file(file: ConfigFile) -> None:
    settings = file.load(everything_changed())

    assert with_reloaded(settings, settings) == settings
