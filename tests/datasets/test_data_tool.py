"""tools/data.py as a user runs it."""

import subprocess
import sys

import pytest

from mixedae.datasets.fingerprint import dataset_fingerprint
from mixedae.files import ROOT
from tests.forked import run_forked

TOOL = ROOT / "tools" / "data.py"


def run(*args):
    return run_forked(TOOL, *args)


def test_help_loads_no_library():
    code = (
        "import sys, runpy; sys.argv = ['data.py', '--help']\n"
        f"try: runpy.run_path({str(TOOL)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'torch', 'mmengine', 'rich', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("[]\n") and "tools/data.py mini" in done.stdout


def test_mini_writes_then_leaves_alone_then_refuses(tmp_path, mini_data):
    out = tmp_path / "mini"
    command = [sys.executable, str(TOOL), "mini", "--out", str(out), "--scale", "test", "--workers", "2"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert first.returncode == 0, first.stderr
    assert f"{out}: written (seed 0)" in first.stdout and "imagenet/pretrain" in first.stdout
    assert dataset_fingerprint([out]) == dataset_fingerprint([mini_data]), "other workers, other files"
    again = run("mini", "--out", out, "--scale", "test")
    assert again.returncode == 0 and "complete already, left as it is" in again.stdout
    other = run("mini", "--out", out, "--scale", "test", "--seed", 1)
    assert other.returncode == 1 and other.stdout == ""
    assert other.stderr.startswith("error: DataError: ") and "seed is 0, expected 1" in other.stderr


@pytest.mark.parametrize(("kind", "pictures"), [("imagenet", "80"), ("ade20k", "10"), ("coco", "10")])
def test_verify_prints_what_is_there(mini_data, kind, pictures):
    done = run("verify", kind, mini_data / kind)
    assert done.returncode == 0, done.stderr
    assert pictures in done.stdout and "every picture decodes" in done.stdout


def test_verify_refuses_without_a_traceback(tmp_path):
    done = run("verify", "coco", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: DataError: ") and "Traceback" not in done.stderr


def test_fingerprint_is_printed(mini_data):
    done = run("fingerprint", mini_data / "coco")
    assert done.stdout.strip() == dataset_fingerprint([mini_data / "coco"])
