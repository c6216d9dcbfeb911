"""The bench command: what snexec takes on this machine, next to what it must take.

Everything here is blocking code on purpose: a program that measures should have no
event loop of its own in the way. Nothing of it runs in the daemon.
"""
