"""snexec: signals in, Alpaca market buys out, one truthful row per order."""

__version__ = "0.1.0"
