"""The bench command: what snexec takes on this machine, next to the least it could take.

Everything here is blocking code on purpose: a program that measures should have no
event loop of its own in the way. None of it runs in the daemon.
"""
