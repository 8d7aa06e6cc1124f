"""A command does not look for garbage while it imports; a process that stays does."""

import gc
import subprocess
import sys

SERVE = """
import gc, sys
from telvend.cli import supervisor
from telvend.__main__ import main
def reached(settings):
    print(gc.get_threshold())
    sys.exit()
supervisor.configure_logs = reached
print(gc.get_threshold())
main()
"""

COMMAND = """
import gc, sys
from telvend.__main__ import main
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
try:
    main()
finally:
    print(len(looks))
"""


def printed(code: str, *arguments: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_command_ends_without_having_looked_for_garbage() -> None:
    assert printed(COMMAND, "order", "list", "--help")[-1] == "0"


def test_a_server_looks_for_garbage_as_python_does() -> None:
    in_a_command, in_a_server = printed(SERVE, "serve")
    assert in_a_server == str(gc.get_threshold())
    assert in_a_command != in_a_server
