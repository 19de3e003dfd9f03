"""PredictionHook's JSON of a classification; tests/tools/test_dry_run_and_predictions.py has the whole command."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models.heads import LinearClsHead, MultiLabelLinearClsHead
from mmpretrain.structures import DataSample

from mixedae.engine.hooks.predictions import PredictionHook
from mixedae.errors import ConfigError


@pytest.mark.parametrize("labels", [[], [2], [0, 2]])
def test_several_labels_a_picture_are_lists(labels: list[int], tmp_path: Path) -> None:
    sample = DataSample(metainfo={"img_path": "a.jpg"}).set_pred_score(torch.tensor([0.5, 0.25, 0.75]))
    sample.set_pred_label(torch.tensor(labels, dtype=torch.long)).set_gt_label([1, 2])
    runner = SimpleNamespace(
        model=SimpleNamespace(head=MultiLabelLinearClsHead(3, 4)), test_dataloader=SimpleNamespace(dataset=[0])
    )
    hook = PredictionHook(str(tmp_path))
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, outputs=[sample])
    hook.after_test(runner)
    (entry,) = json.loads((tmp_path / "predictions.json").read_text())
    assert entry == {"image": "a.jpg", "labels": labels, "scores": [0.5, 0.25, 0.75], "truth": [1, 2]}


def test_one_label_is_a_number(tmp_path: Path) -> None:
    sample = DataSample(metainfo={"img_path": "a.jpg"}).set_pred_score(torch.tensor([0.25, 0.75])).set_pred_label(1)
    hook = PredictionHook(str(tmp_path))
    model, loader = SimpleNamespace(head=LinearClsHead(2, 4)), SimpleNamespace(dataset=[0])
    hook.before_test(SimpleNamespace(model=model, test_dataloader=loader))
    assert hook._entry(sample) == {"image": "a.jpg", "label": 1, "score": 0.75, "truth": None}
    assert hook._entry(sample.set_gt_label(0))["truth"] == 0


def test_pictures_that_are_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="have no files"):
        PredictionHook(str(tmp_path)).after_test_iter(None, 0, outputs=[DataSample()])
