"""stdout and stderr of commands: what a terminal cannot show, full disks, closed pipes. Each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

NAME = "Ọlá ₦ é 😀"

HEAD = """
import sys
from rich.console import Console
from telvend.cli import common, streams
streams.install()
def show(reading=True, if_lost="", exit_code=0, **data):
    import typer
    output = common.Output(data, data["name"], exit_code=exit_code, if_lost=if_lost)
    try:
        common.emit(output, AS_JSON, reading=reading)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
"""


def run(
    code: str,
    *,
    as_json: bool = False,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    shell: str = "",
    **env: str,
) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-c", HEAD.replace("AS_JSON", str(as_json)) + code]
    if shell:
        program = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", *program]
    return subprocess.run(
        program, env=environment(env), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=60, check=False
    )


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))} | more


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:strict"},
     {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C"}, {}],
    ids=str,
)  # fmt: skip
def test_what_the_terminal_cannot_show_is_escaped(env: dict[str, str]) -> None:
    code = f"common.table('', ('name',), [({NAME!a},)], '')(Console())\nfor name in ({NAME!a}, chr(0xdcff)): show(name=name)"
    done = run(code, **env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u1ecdl" not in done.stdout
    encoding = env.get("PYTHONIOENCODING", "").partition(":")[0] or ("ascii" if "PYTHONUTF8" in env else "utf-8")
    expected = "".join(
        letter if encoding == "utf-8" or ord(letter) < (256 if encoding == "latin-1" else 128) else escaped(letter)
        for letter in NAME
    )
    assert expected in done.stdout.decode(encoding)
    assert "\\udcff" in done.stdout.decode(encoding)


def escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1]


def test_json_that_had_to_be_escaped_says_the_same() -> None:
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = run(f"show(name={NAME!a})", as_json=True, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout.decode(encoding)) == {"name": NAME}


@pytest.mark.parametrize("shell", ["> /dev/full", ">&-"])
def test_a_deed_whose_output_is_lost_is_done(shell: str) -> None:
    done = run("show(name='Added.', reading=False)", shell=shell)
    assert done.returncode == 0
    assert done.stderr.startswith(b"telvend: Done, but the output could not be written: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("shell", ["> /dev/full", ">&-"])
def test_a_list_that_is_lost_is_not_done_and_what_is_shown_once_says_what_to_do(shell: str) -> None:
    done = run("show(name='a list')", shell=shell)
    assert done.returncode == 1
    assert done.stderr.startswith(b"telvend: The output could not be written: ")
    done = run("show(name='a key', reading=False, if_lost='Make another one.')", shell=shell)
    assert done.returncode == 1
    assert done.stderr.startswith(b"telvend: Done, but what is shown only now could not be written: ")
    assert done.stderr.endswith(b" Make another one.\n")


@pytest.mark.parametrize(("reading", "code"), [(True, 1), (False, 0)])
def test_a_reader_that_has_gone(reading: bool, code: int) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        done = run(f"show(name='x' * 100_000, reading={reading})", stdout=pipe)
    assert done.returncode == code
    assert (done.stderr == b"") is reading


@pytest.mark.parametrize("shell", ["2> /dev/full", "2>&-", "2>&- >&- <&-"])
def test_sentences_that_nobody_can_read_end_nothing(shell: str) -> None:
    code = "common.progress('Creating …')\nprint('x', file=sys.stderr)\nshow(name='Added.', reading=False)"
    done = run(code, shell=shell)
    assert done.returncode == 0
    assert done.stdout == (b"" if ">&- <" in shell else b"Added.\n")
