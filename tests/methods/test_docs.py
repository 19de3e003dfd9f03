"""The method of the documentation trains as it stands there."""

import re
import sys
from pathlib import Path

import pytest

from mixedae.files import ROOT
from tests.forked import run_forked


@pytest.mark.train
def test_the_method_of_the_page_is_tried_and_leaves_no_checkpoint(
    mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)[^\n]*\n(.*?)```", (ROOT / "docs/methods.md").read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["my_method.py", "my_config.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text.replace('"mm_configs/', f'"{ROOT}/mm_configs/'))
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    work = tmp_path / "run"
    done = run_forked("tools/train.py", tmp_path / "my_config.py", "--dry-run", "--work-dir", work)
    assert done.returncode == 0 and "PlainAutoencoder" in done.stdout, done.stderr
    assert not list(work.rglob("*.pth")) and not list(work.rglob("last_checkpoint"))  # its epoch has one iteration
