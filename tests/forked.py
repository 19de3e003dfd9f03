"""Scripts and modules run in processes of their own, forked from a server that has imported the libraries once.

A fresh interpreter imports torch and OpenMMLab for seconds before it does what a test is about. A fork has them at once
and is a process all the same: its own arguments, environment, output and exit status, and nothing of the test's state.
What importing itself does (``--help`` without torch, a tool that forgets an import) is tested with fresh interpreters.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mixedae.files import ROOT

TIMEOUT = 300  # seconds
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preload"])


class Forked:
    """A running script (a path) or module (a dotted name, as after ``python -m``).

    Args:
        target: the script's path or the module's name.
        arguments: what follows on the command line.
        env: the whole environment; None is this process's.
    """

    def __init__(self, target: str | Path, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self.command = [str(target), *map(str, arguments)]
        self._folder = tempfile.TemporaryDirectory(prefix="forked-")
        environment = dict(os.environ if env is None else env)
        self._process = CONTEXT.Process(target=_run, args=(self.command, environment, self._folder.name))
        self._process.start()

    def wait(self, timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
        """Wait for its end, killing it after ``timeout`` seconds.

        Raises:
            subprocess.TimeoutExpired: it was killed.
        """
        self._process.join(timeout)
        late = self._process.exitcode is None
        self.kill()
        out, err = (Path(self._folder.name, name).read_text() for name in ("out", "err"))
        self._folder.cleanup()
        if late:
            raise subprocess.TimeoutExpired(self.command, timeout, out, err)
        return subprocess.CompletedProcess(self.command, self._process.exitcode, out, err)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


def run_forked(
    target: str | Path, *arguments: object, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script or module to its end, as ``subprocess.run([sys.executable, ...], cwd=ROOT)`` would; see Forked."""
    return Forked(target, *arguments, env=env).wait()


def _run(command: list[str], environment: dict[str, str], folder: str) -> None:
    """In the fork: become the process that the command line asks for."""
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = command
    if command[0].endswith(".py"):
        sys.path.insert(0, str(Path(command[0]).resolve().parent))
        runpy.run_path(command[0], run_name="__main__")
    else:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
