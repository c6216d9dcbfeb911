"""The page in a real browser: the daemon and the exchange are processes of their own."""
