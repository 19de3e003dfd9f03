"""A diverged model under mixed precision skips every step and looks healthy: the scaler's scale tells."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner

from mixedae.engine import NonFiniteLossHook
from mixedae.engine.hooks.non_finite import all_finite
from mixedae.errors import NonFiniteLossError


@OPTIM_WRAPPERS.register_module(force=True)
class CpuScalerWrapper(OptimWrapper):
    """AmpOptimWrapper's scaling with PyTorch's real GradScaler on the CPU; gradients overflow in some steps."""

    def __init__(self, overflow_from: int, overflow_to: int = 10**9, fixed: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._scale_update_param, self.cast_dtype = fixed, torch.float16
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=fixed or 65536.0)
        self.range = range(overflow_from, overflow_to)
        self.steps = 0

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        self.steps += 1
        if self.steps in self.range:
            self.optimizer.param_groups[0]["params"][0].grad.fill_(float("inf"))
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update(self._scale_update_param)


def run(
    make_runner: Callable[..., Runner], max_skipped_steps: int = 20, accumulation: int = 1, **wrapper: float
) -> Runner:
    runner = make_runner(
        optim_wrapper__type="CpuScalerWrapper",
        train_cfg__max_epochs=30,
        optim_wrapper__accumulative_counts=accumulation,
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        default_hooks__checkpoint__interval=100,
        **{f"optim_wrapper__{key}": value for key, value in wrapper.items()},
    )
    next(h for h in runner.hooks if isinstance(h, NonFiniteLossHook)).max_skipped_steps = max_skipped_steps
    runner.train()
    return runner


def test_k_skipped_steps_in_a_row_end_the_run(make_runner: Callable[..., Runner]) -> None:
    with pytest.raises(NonFiniteLossError, match=r"skipped 5 steps in a row \(scale 2048\) at iteration 11 .*loss="):
        run(make_runner, max_skipped_steps=5, overflow_from=7)


def test_a_scale_below_one_ends_the_run(make_runner: Callable[..., Runner]) -> None:
    with pytest.raises(NonFiniteLossError, match=r"scale fell to 0\.5, below 1 at iteration 17 "):
        run(make_runner, overflow_from=1)


def test_skipped_steps_are_counted_in_optimizer_steps_not_iterations(make_runner: Callable[..., Runner]) -> None:
    with pytest.raises(NonFiniteLossError, match=r"skipped 4 steps in a row .* iteration 15 "):
        run(make_runner, max_skipped_steps=4, accumulation=3, overflow_from=2)


def test_a_scaler_that_finds_its_scale_is_left_alone(make_runner: Callable[..., Runner]) -> None:
    assert run(make_runner, max_skipped_steps=5, overflow_from=3, overflow_to=7).iter == 120


def test_a_fixed_scale_is_not_watched(make_runner: Callable[..., Runner]) -> None:
    assert run(make_runner, overflow_from=10**9, fixed=0.5).iter == 120


@settings(max_examples=100, deadline=None)
@given(skips=st.lists(st.booleans(), max_size=40), limit=st.integers(1, 6))
def test_verdict_equals_a_count_over_the_whole_history(skips: list[bool], limit: int) -> None:
    scale = [2.0**60]
    scaler = SimpleNamespace(is_enabled=lambda: True, get_scale=lambda: scale[0])
    wrapper = SimpleNamespace(loss_scaler=scaler, _scale_update_param=None, should_update=lambda: True)
    runner = SimpleNamespace(optim_wrapper=wrapper, iter=0, epoch=0)
    hook = NonFiniteLossHook(max_skipped_steps=limit)
    hook.before_train(runner)
    stopped_at = None
    for i, skip in enumerate(skips):
        scale[0] *= 0.5 if skip else 1.0
        try:
            hook.after_train_iter(runner, i, outputs={"loss": torch.tensor(1.0)})
        except NonFiniteLossError:
            stopped_at = i
            break
    text = "".join("x" if skip else "." for skip in skips)
    found = text.find("x" * limit)
    assert stopped_at == (None if found < 0 else found + limit - 1)


@settings(max_examples=100, deadline=None)
@given(values=st.dictionaries(st.text(max_size=3), st.floats(width=32) | st.integers(-10, 10), max_size=6))
def test_all_finite_equals_pythons(values: dict[str, float]) -> None:
    expected = all(abs(value) < float("inf") for value in values.values())
    assert all_finite(values) == expected
    assert all_finite({name: torch.tensor(float(value)) for name, value in values.items()}) == expected
    assert all_finite({name: torch.tensor([0.0, float(value)]) for name, value in values.items()}) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_on_a_gpu(make_runner: Callable[..., Runner], dtype: str) -> None:
    """The real AmpOptimWrapper: a healthy run passes, is recorded as mixed precision, and a NaN ends it."""
    import json
    from pathlib import Path

    runner = make_runner(optim_wrapper__type="AmpOptimWrapper", optim_wrapper__dtype=dtype)
    runner.train()
    record = json.loads((Path(runner.work_dir) / "run_record.json").read_text())
    assert record["precision"] == {"float16": "amp-fp16", "bfloat16": "amp-bf16"}[dtype]
    assert 0 < record["peak_memory_mb"] < 1000
    runner = make_runner(
        optim_wrapper__type="AmpOptimWrapper", optim_wrapper__dtype=dtype, model__bad={3: ("loss_a", "nan")}
    )
    with pytest.raises(NonFiniteLossError, match="iteration 3 "):
        runner.train()
