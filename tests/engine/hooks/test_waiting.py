"""Waiting for pictures: the sentence, the number of workers, and a real loader that is too slow."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedae.engine.hooks.waiting import WARM_UP, WaitingHook, advice


def test_little_waiting_is_not_told() -> None:
    assert advice(0.01, 0.1, 2, 0.1) is None
    assert advice(0.0, 0.0, 0, 0.1) is None


@given(worked=st.floats(0.001, 1), making=st.floats(0.01, 10), workers=st.integers(0, 16))
def test_the_workers_that_are_advised_keep_up(worked: float, making: float, workers: int) -> None:
    """A batch takes a worker ``making`` seconds; w workers give one every making / w; without them it comes on top."""
    waited = making if not workers else max(0.0, making / workers - worked)
    text = advice(waited, worked, workers, 0.1)
    if text is None:
        assert waited <= 0.1 * (waited + worked) * (1 + 1e-9)
        return
    enough = int(text.split("num_workers=")[1].split()[0])
    assert enough > workers
    assert making / enough <= worked * (1 + 1e-9) or enough == workers + 1
    assert enough == workers + 1 or making / (enough - 1) > worked * (1 - 1e-9), "and no more than needed"


@pytest.mark.parametrize(("slow", "told"), [(0.004, True), (0.0, False)])
def test_it_is_said_once(slow: float, told: bool) -> None:
    said: list[str] = []
    logger = SimpleNamespace(warning=lambda text, extra: said.append(text))
    runner: Any = SimpleNamespace(train_dataloader=SimpleNamespace(num_workers=0), logger=logger)
    hook = WaitingHook(steps=5)
    for _ in range(2):
        hook.before_train_epoch(runner)
        for step in range(WARM_UP + 10):
            time.sleep(slow)
            hook.before_train_iter(runner, step)
            time.sleep(0.002)
            hook.after_train_iter(runner, step)
    assert len(said) == told
    assert not told or "with 0 workers" in said[0]
