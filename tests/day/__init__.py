"""A day of trades through the daemon as it is run, against the simulated exchange."""
