"""Partial fine-tuning: exactly the last blocks and what follows them learn."""

import pytest
import torch

from mixedae.models import MixedAEViT

from .conftest import ARCH


def trainable(blocks: float | None, **options: object) -> tuple[MixedAEViT, set[str]]:
    model = MixedAEViT(
        arch=ARCH, img_size=16, patch_size=4, out_type="avg_featmap", final_norm=False, drop_path_rate=0.5,
        trainable_blocks=blocks, **options,
    )  # fmt: skip
    model.init_weights()
    model.train()
    return model, {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("blocks", [0, 0.5, 1, 2, 3])
def test_exactly_the_last_blocks_learn(blocks: float) -> None:
    model, found = trainable(blocks)
    names = {name for name, _ in model.named_parameters()}
    last = {n for n in names if n.startswith("layers.") and int(n.split(".")[1]) >= 3 - blocks}
    expected = {n for n in last if int(n.split(".")[1]) >= 3 - int(blocks)} | {"ln2.weight", "ln2.bias"}
    if blocks == 0.5:
        expected |= {n for n in names if n.startswith(("layers.2.ln2", "layers.2.ffn"))}
    assert found == (expected if blocks else set())


def test_without_the_option_all_learns() -> None:
    model, found = trainable(None)
    assert found == {name for name, _ in model.named_parameters()}


def test_frozen_blocks_have_no_stochastic_depth() -> None:
    model, _ = trainable(1)
    modes = [layer.training for layer in model.layers]
    assert modes == [False, False, True] and model.training
    model.eval()
    assert not any(m.training for m in model.modules())


def test_a_step_moves_only_what_learns() -> None:
    model, found = trainable(0.5, with_cp=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):  # stochastic depth may skip the block
        model(torch.randn(2, 3, 16, 16))[0].square().sum().backward()
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= found and "ln2.weight" in moved
