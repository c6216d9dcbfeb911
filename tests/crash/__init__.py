"""The crash sweep: kill -9 at every step, start again, and compare with the broker."""
