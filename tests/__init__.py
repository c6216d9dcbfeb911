"""Tests of snexec: test names are promises."""
