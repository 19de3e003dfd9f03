"""A collapse is noticed: signs in numbers, and a DINO without centring within a tenth of its epochs."""

import logging
from pathlib import Path

import pytest
import torch

from mixedae.engine import CollapseHook, StrictRunner
from mixedae.engine.hooks.collapse import signs_of
from tests.configs.test_methods import MINI, reduced


def test_signs() -> None:
    assert signs_of(10.0, {"teacher_spread": torch.tensor(0.9), "teacher_entropy": torch.tensor(0.5)}) == []
    assert len(signs_of(1.5, {"teacher_spread": 0.01, "teacher_entropy": 0.999})) == 3
    assert "effective rank 1.50" in signs_of(1.5, {})[0]


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize(("momentum", "caught"), [(1.0, True), (0.9, False)], ids=["no centring", "centring"])
def test_dino_without_centring_is_caught_within_a_tenth_of_its_epochs(
    momentum: float, caught: bool, mini_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = reduced(MINI["dino"], mini_data, tmp_path)  # 750 iterations in the recipe
    cfg.model.centre_momentum = momentum  # 1: the centre stays zero
    cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters = 16, 60
    cfg.auto_scale_lr.base_batch_size = 16
    cfg.train_pipeline[1].num_views = cfg.train_dataloader.dataset.pipeline[1].num_views = [1, 1, 1]
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook["type"] != "mixedae.CollapseHook"]
    runner = StrictRunner.from_cfg(cfg)
    runner.register_hook(CollapseHook(interval=10, pictures=16))
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    told = [record.getMessage() for record in caplog.records if "has collapsed" in record.getMessage()]
    assert len(told) == caught
    assert not caught or "one prototype for nearly all pictures" in told[0]
    assert "train/rankme" in runner.message_hub.log_scalars
