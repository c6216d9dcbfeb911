"""A config file to write, and what no fault of it may show."""

import traceback
from pathlib import Path

import pytest

from snexec.errors import ConfigError
from snexec.settings.load import load_settings
from snexec.settings.sections import Settings

IN_FILE = '[alpaca]\napi_key = "file-key"\napi_secret = "file-secret"\n'


class ConfigFile:
    """A config file to be written over and over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, text: str) -> Settings:
        self.path.write_text(text, encoding="utf-8")
        return load_settings(self.path)

    def refusal(self, text: str | bytes) -> str:
        """Return what is said of a file, without its own name."""
        data = text if isinstance(text, bytes) else text.encode()
        self.path.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            load_settings(self.path)
        said = str(caught.value)
        assert said.startswith(f"{self.path}: ")
        return said.removeprefix(f"{self.path}: ")


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(tmp_path / "config.toml")


def assert_hidden(error: Exception) -> None:
    told = "".join(traceback.format_exception(error))
    assert "hush" not in told
    assert "hush" not in repr(error)
