"""The configuration.

Only here are settings and keys read: from the file, the environment and the service
manager's credentials. (``snexec mode`` writes the file; what is no setting, as
``NOTIFY_SOCKET``, is read where it is used.) The settings are frozen; ``LiveSettings`` says
which ones are in force, and only a SIGHUP changes that, and never loosens by absence.
"""

from __future__ import annotations

from snexec.settings.changes import changes as changes
from snexec.settings.credentials import Credentials as Credentials
from snexec.settings.credentials import credential as credential
from snexec.settings.credentials import credentials_for as credentials_for
from snexec.settings.credentials import http_tokens as http_tokens
from snexec.settings.credentials import learn_secrets as learn_secrets
from snexec.settings.credentials import open_secrets as open_secrets
from snexec.settings.credentials import redis_address as redis_address
from snexec.settings.credentials import say_open_secrets as say_open_secrets
from snexec.settings.credentials import warn_open_secrets as warn_open_secrets
from snexec.settings.exits import ExitSettings as ExitSettings
from snexec.settings.http import HttpSettings as HttpSettings
from snexec.settings.http import signals_at as signals_at
from snexec.settings.live import LiveSettings as LiveSettings
from snexec.settings.live import Reload as Reload
from snexec.settings.live import Term as Term
from snexec.settings.load import load_settings as load_settings
from snexec.settings.load import parse_config as parse_config
from snexec.settings.load import read_config as read_config
from snexec.settings.page import PageSettings as PageSettings
from snexec.settings.readable import read_what_can_be as read_what_can_be
from snexec.settings.redis import RedisAddress as RedisAddress
from snexec.settings.redis import RedisSettings as RedisSettings
from snexec.settings.sections import AlpacaSettings as AlpacaSettings
from snexec.settings.sections import BotSettings as BotSettings
from snexec.settings.sections import NotifyKind as NotifyKind
from snexec.settings.sections import NotifySettings as NotifySettings
from snexec.settings.sections import Settings as Settings
from snexec.settings.sections import StreamSettings as StreamSettings
from snexec.settings.values import is_loopback as is_loopback
