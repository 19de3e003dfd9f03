"""Saves through mmengine's own functions: a kill, a full disk and a link leave the old file whole."""

import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mmengine.fileio
import pytest

import mixedae.registry  # noqa: F401  # installs the backend
from mixedae.errors import SaveError
from mixedae.files import ABANDONED_AFTER, sweep
from mixedae.saving import AtomicLocalBackend, install

OLD, NEW = b"old" * 1000, b"new" * 30_000_000


def save(path: Path) -> None:
    mmengine.fileio.get_file_backend(str(path)).put(NEW, str(path))


def save_with_limit(path: Path, error: Path) -> None:
    """With a limit on the size of files in place of a full disk, which a test cannot make."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        save(path)
    except SaveError as problem:
        os.write(os.open(error, os.O_CREAT | os.O_WRONLY), str(problem).encode())


def forked(target: Callable[..., None], *arguments: Path) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def test_importing_the_registry_installs_it_without_torch() -> None:
    code = (
        "import sys, mmengine.fileio as f; f.get('pyproject.toml'); import mixedae.registry\n"
        "kinds = [type(b).__name__ for b in (f.get_file_backend('/x'), f.get_file_backend('x', enable_singleton=True),"
        " f.get_file_backend(backend_args={'backend': 'local'}))]\n"
        "print(*kinds, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["AtomicLocalBackend"] * 3 + ["False"]
    backend = mmengine.fileio.get_file_backend("x", enable_singleton=True)
    install()
    assert mmengine.fileio.get_file_backend("x", enable_singleton=True) is backend


def test_r01_a_kill_in_the_middle_of_a_save_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    path.write_bytes(OLD)
    for _ in range(20):
        process = forked(save, path)
        deadline = time.monotonic() + 30
        while process.is_alive() and not list(tmp_path.glob(".*.tmp")) and time.monotonic() < deadline:
            pass
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL and (leftovers := list(tmp_path.glob(".*.tmp"))):
            break
        path.write_bytes(OLD)  # the save was faster than the kill
    assert path.read_bytes() == OLD
    assert sweep(tmp_path) == leftovers
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_1.pth"]


def test_r06_a_full_disk_names_path_and_bytes_and_leaves_nothing(tmp_path: Path) -> None:
    path, error = tmp_path / "run" / "epoch_1.pth", tmp_path / "error"
    path.parent.mkdir()
    path.write_bytes(OLD)
    forked(save_with_limit, path, error).join()
    text = error.read_text()
    assert f"could not write {path} ({len(NEW)} bytes): File too large" in text and "bytes are free" in text
    assert path.read_bytes() == OLD
    assert [p.name for p in path.parent.iterdir()] == ["epoch_1.pth"]


def test_texts_new_folders_and_modes(tmp_path: Path) -> None:
    backend = AtomicLocalBackend()
    backend.put_text("größer", tmp_path / "a" / "b.txt", encoding="latin-1")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "größer".encode("latin-1")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a" / "b.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(SaveError, match=r"plain/x"):
        backend.put(b"", tmp_path / "plain" / "x")


def test_links_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    backend, target = AtomicLocalBackend(), tmp_path / "target"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)
    backend.put(b"new", tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and target.read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    backend.put(b"through", tmp_path / "pipe")
    assert os.read(reader, 100) == b"through" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_sweep_leaves_what_is_being_written_and_what_is_not_ours(tmp_path: Path) -> None:
    gone = forked(time.sleep, 0)  # type: ignore[arg-type]
    gone.join()
    host = socket.gethostname()
    dead, living = tmp_path / f".a.pth.{host}.{gone.pid}.tmp", tmp_path / f".a.pth.{host}.{os.getpid()}.tmp"
    elsewhere, abandoned = tmp_path / ".a.pth.elsewhere.1.tmp", tmp_path / ".b.pth.elsewhere.1.tmp"
    foreign = tmp_path / ".notes.tmp"
    for path in (dead, living, elsewhere, abandoned, foreign):
        path.touch()
    long_ago = time.time() - 2 * ABANDONED_AFTER
    os.utime(abandoned, (long_ago, long_ago))
    assert sorted(sweep(tmp_path)) == [dead, abandoned]
    assert {living, elsewhere, foreign} <= set(tmp_path.iterdir())
    assert sweep(tmp_path / "nowhere") == []
