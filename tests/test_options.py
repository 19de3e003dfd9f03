"""Options of a config: merged as --cfg-options are, the learning rate following the base learning rate."""

import pytest
from mmengine.config import Config

from mixedae.errors import ConfigError
from mixedae.options import as_arguments, merge_options


def config(**changes: object) -> Config:
    return Config(
        dict(
            base_lr=1e-3,
            auto_scale_lr=dict(base_batch_size=64),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-3 * 64 / 256)),
            param_scheduler=[dict(type="CosineAnnealingLR", eta_min=0.0)],
            **changes,
        )
    )


def test_the_learning_rate_follows_the_base_learning_rate() -> None:
    cfg = config()
    merge_options(cfg, {"base_lr": 4e-3}, "leaf.py")
    assert (cfg.base_lr, cfg.optim_wrapper.optimizer.lr) == (4e-3, 1e-3)


def test_it_follows_the_batch_that_other_options_set() -> None:
    cfg = config()
    merge_options(cfg, {"base_lr": 4e-3, "auto_scale_lr.base_batch_size": 128}, "leaf.py")
    assert cfg.optim_wrapper.optimizer.lr == 2e-3


def test_other_options_are_merged_as_they_are() -> None:
    cfg = config(model=dict(depth=1))
    merge_options(cfg, {"model.depth": 2, "param_scheduler.0.eta_min": 1e-6}, "leaf.py")
    assert (cfg.model.depth, cfg.param_scheduler[0].eta_min, cfg.base_lr) == (2, 1e-6, 1e-3)


@pytest.mark.parametrize(
    ("cfg", "options", "expected"),
    [
        (config(), {"base_lr": 1.0, "optim_wrapper.optimizer.lr": 1.0}, "leave one out"),
        (Config(dict(base_lr=1.0)), {"base_lr": 2.0}, "does not follow from base_lr"),
        (
            Config({**config().to_dict(), "optim_wrapper": dict(optimizer=dict(lr=1.0))}),
            {"base_lr": 2.0},
            "the learning rate 1.0 does not follow from base_lr 0.001 and the batch 64",
        ),
        (
            Config({**config().to_dict(), "param_scheduler": [dict(eta_min_ratio=0.1)]}),
            {"base_lr": 2.0},
            "eta_min_ratio was computed from the learning rate",
        ),
    ],
)
def test_what_would_leave_a_number_behind_is_refused(cfg: Config, options: dict, expected: str) -> None:
    before = cfg.to_dict()
    with pytest.raises(ConfigError, match=expected):
        merge_options(cfg, options, "leaf.py")
    assert cfg.to_dict() == before


def test_arguments_are_read_back_as_they_were() -> None:
    options = {"a": 1, "b": 1e-3, "c": True, "d": None, "e": "plain", "f": (0.4, 0.6), "g": ("x", 1)}
    assert as_arguments(options, "leaf.py") == [
        "a=1", "b=0.001", "c=True", "d=None", "e=plain", "f=(0.4, 0.6)", "g=('x', 1)",
    ]  # fmt: skip
    assert as_arguments({}, "leaf.py") == []


@pytest.mark.parametrize("value", ["8e-3", "1", "true", "None", "a b", "a,b", 'say "x"', {"a": 1}])
def test_a_value_that_would_be_read_as_another_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="the option key="):
        as_arguments({"key": value}, "leaf.py")


@pytest.mark.parametrize(
    ("key", "before", "after"), [("max_epochs", 10, 4), ("max_epochs", 10, 20), ("max_iters", 10, 4)]
)
def test_schedules_end_where_the_run_ends(key: str, before: int, after: int) -> None:
    by_epoch = key == "max_epochs"
    schedule = [
        dict(type="LinearLR", begin=0, end=2, by_epoch=by_epoch),
        dict(type="CosineAnnealingLR", begin=2, end=before, T_max=before - 2, by_epoch=by_epoch),
        dict(type="MultiStepLR", milestones=[3], by_epoch=by_epoch),
    ]
    cfg = Config(dict(train_cfg={key: before}, param_scheduler=schedule))
    merge_options(cfg, {f"train_cfg.{key}": after}, "x.py")
    warm, cosine, steps = cfg.param_scheduler
    assert (warm.end, cosine.end, cosine.T_max, cosine.begin) == (2, after, after - 2, 2) and steps.milestones == [3]
    kept = Config(dict(train_cfg={key: before}, param_scheduler=schedule))
    merge_options(kept, {f"train_cfg.{key}": after, "param_scheduler.1.end": 9}, "x.py")
    assert kept.param_scheduler[1].end == 9
