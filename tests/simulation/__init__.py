"""The daemon on a clock that jumps, against a broker that a story makes fail."""
