"""The speed switches of a recipe, fused AdamW and torch.compile, change the time of a step and not its result."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mixedae.registry import MODELS  # noqa: F401
from tests.models.conftest import build

LIKE_THE_RECIPE = dict(
    type="OptimWrapper",
    optimizer=dict(
        type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, eps=1e-4
    ),  # a bias of keys has no gradient
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(no_decay=()),
)


def images() -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def total(model, batch) -> torch.Tensor:
    return torch.stack(list(model.loss(batch).values())).sum()


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
def test_fused_adamw_takes_the_steps_of_the_plain_one(kind):
    torch.manual_seed(0)
    model = build(kind)
    other = copy.deepcopy(model)
    for trained, fused in ((model, None), (other, True)):
        config = copy.deepcopy(LIKE_THE_RECIPE)
        config["optimizer"]["fused"] = fused
        wrapper = build_optim_wrapper(trained, config)
        for step in range(3):
            torch.manual_seed(step)  # the same masks
            wrapper.update_params(total(trained, images()))
    for (name, plain), (_, fused) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_loss_and_gradients_are_the_plain_ones(kind, backend):
    torch.manual_seed(0)
    model = build(kind)
    if backend == "aot_eager":
        compiled = torch.compile(lambda batch: total(model, batch), backend=backend, fullgraph=True)
    else:
        torch._inductor.config.fallback_random = True  # its own generator would draw other masks
        compiled = torch.compile(lambda batch: total(model, batch))
    gradients = []
    for loss in (lambda batch: total(model, batch), compiled):
        torch.manual_seed(3)
        model.zero_grad()
        value = loss(images())
        value.backward()
        gradients.append([value.detach(), *(p.grad.clone() for p in model.parameters() if p.requires_grad)])
    for plain, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)
