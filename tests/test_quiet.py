"""A plain script prints what it prints itself; a run's log file keeps everything."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixedae.files import ROOT

SCRIPT = """
import {first}
from mmengine.config import Config
from mmpretrain.registry import MODELS
config = Config.fromfile("mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py")
model = MODELS.build(config.model)
{log}
model.init_weights()
print("mine")
"""
LOG = 'from mmengine.logging import MMLogger; MMLogger.get_instance("run", log_file="{file}")'


@pytest.mark.parametrize("first", ["mixedae.models", "mixedae.methods"])
def test_a_script_prints_its_own_lines_alone(first: str, tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    for log in ("", LOG.format(file=file)):
        command = [sys.executable, "-c", SCRIPT.format(first=first, log=log)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["mine"]
        if first == "mixedae.methods":
            break  # one start is enough for the second name
    if first == "mixedae.models":
        assert "backbone.cls_token - torch.Size([1, 1, 96])" in file.read_text()
