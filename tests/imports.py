"""What command lines import: each runs in a fork of one process that has imported nothing large.

    python -m tests.imports < lines > answers

A line is a module and its words, as after `python -m`. Each becomes a line of JSON: the line, the
exit status, and which packages of `LARGE` were there at the end.
"""

import importlib
import json
import os
import runpy
import shlex
import sys

_SMALL = ("numpy", "PIL.Image", "rich.console", "tqdm", "masll.config", "tuning.options")
LARGE = ("torch", "timm", "ray", "pandas", "scipy", "sklearn", "optuna", "matplotlib")


def answer(line: str) -> dict[str, object]:
    """Run a command line without its output."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            status = _run(*shlex.split(line))
            os.write(write, json.dumps([name for name in LARGE if name in sys.modules]).encode())
        finally:
            os._exit(status)
    os.close(write)
    _, ended = os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        large = json.loads(pipe.read())
    return {"line": line, "status": os.waitstatus_to_exitcode(ended), "large": large}


def _run(module: str, *words: str) -> int:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.argv = ["-m", *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    for name in _SMALL:  # once, as all may
        importlib.import_module(name)
    for each in sys.stdin.read().splitlines():
        print(json.dumps(answer(each)), flush=True)
