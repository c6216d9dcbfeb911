"""Tests of snexec: test names are promises."""

import os
import sys

# The suite starts the daemon hundreds of times: compiling it at each start would take
# longer than the tests do.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
