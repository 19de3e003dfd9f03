"""What a run was made of, kept in its checkpoints, so that a resumed run is the same run or says what it changes."""

import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from mixedae.engine.hooks.effective_batch import batch_of
from mixedae.engine.loops import ExactEpochLoop
from mixedae.errors import ConfigError
from mixedae.files import plain

META = "mixedae_run"
"""Key in a checkpoint's ``meta``: :func:`facts_of` as JSON, which is read as data."""
ALLOW = "allow_change"
"""Key of a config: names of facts that a resumed run may change (``--allow-change``)."""
DECIDING = ("model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr")
"""Keys of a config from which a training's numbers follow."""
FREE = frozenset(
    """num_workers persistent_workers prefetch_factor pin_memory timeout data_root backend_args init_cfg with_cp
    val_interval val_begin dynamic_intervals _scope_ train_dataloader.batch_size accumulative_counts""".split()  # noqa: SIM905
)
"""Keys that may differ: where data lies, how it is read, when is validated. Batch and accumulation have their facts."""
SAME = {"mixedae.LoadImageOnce": "mixedae.LoadPicture"}
"""Types that give the same numbers; the trainer takes the first where a loader has no workers."""
MOST_SHOWN = 8
Facts = dict[str, Any]


def facts_of(runner: Runner) -> Facts:
    """What the numbers of a training follow from.

    Args:
        runner: with its training loop and optimizer built.

    Returns:
        Dotted names to values of JSON: the deciding part of the config, and what follows from it and from the machine:
        ``batch`` (images per process), ``accumulation``, ``world_size``, ``pictures``, ``epoch_length`` (iterations).
    """
    config = {key: _plain(runner.cfg.get(key)) for key in DECIDING}
    config["randomness"] = {"seed": runner.cfg.get("randomness", {}).get("seed")}
    facts = dict(_flat(config))
    batch, loader = batch_of(runner), runner.train_dataloader
    return facts | {
        "batch": batch.images,
        "accumulation": batch.accumulation,
        "world_size": batch.processes,
        "pictures": len(loader.dataset),
        "epoch_length": len(loader) if isinstance(runner.train_loop, ExactEpochLoop) else None,
    }


def stored_facts(meta: Mapping[str, Any]) -> Facts | None:
    """The facts in a checkpoint; None if it was written before they were kept, or not by this project.

    Args:
        meta: of the checkpoint.
    """
    try:
        facts = json.loads(meta[META])
    except (KeyError, TypeError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def changes(then: Facts, now: Facts) -> dict[str, str]:
    """What differs, in words by name. ``epoch_length`` follows from the others and is not told.

    Args:
        then: of the checkpoint.
        now: of this run. A seed that is not set now is the checkpoint's.
    """
    skipped = {"epoch_length"} | ({"randomness.seed"} if now.get("randomness.seed") is None else set())
    return {
        name: f"{name} {_word(then, name)} then, {_word(now, name)} now"
        for name in sorted((then.keys() | now.keys()) - skipped)
        if then.get(name) != now.get(name)
    }


def check_changes(then: Facts, now: Facts, allowed: Sequence[str], path: str | Path) -> list[str]:
    """Check that a resumed run changes nothing but what it may.

    Args:
        then: of the checkpoint.
        now: of this run.
        allowed: names, or beginnings of names such as ``optim_wrapper``.
        path: the checkpoint's, for messages.

    Returns:
        What is changed, in words.

    Raises:
        ConfigError: something else is changed, or nothing is called as one of ``allowed``.
    """
    found = changes(then, now)
    for key in allowed:
        if not any(_covers(key, name) for name in then.keys() | now.keys()):
            some = "batch, accumulation, world_size, pictures, randomness.seed, train_cfg.max_epochs, optim_wrapper"
            raise ConfigError(f"--allow-change {key}: a run has nothing of that name; such as {some}")
    refused = {name: text for name, text in found.items() if not any(_covers(key, name) for key in allowed)}
    if refused:
        shown = list(refused.values())[:MOST_SHOWN]
        more = f"; and {len(refused) - len(shown)} more" if len(refused) > len(shown) else ""
        raise ConfigError(
            f"{path} was written by a run with other settings: {'; '.join(shown)}{more}. Resume with those of then, or "
            f"allow the change, after which the run is no longer the one that was started: "
            f"{' '.join(f'--allow-change {name}' for name in list(refused)[:MOST_SHOWN])}"
        )
    return list(found.values())


class FreshSchedule:
    """Hyper-parameters of the optimizer and schedulers as this run's config has them, before a checkpoint is loaded.

    A checkpoint brings those of the run that wrote it, learning rates and ends of schedules among them. Where a change
    was allowed, they are this run's instead.

    Args:
        runner: with optimizer and schedulers built, nothing loaded yet.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        groups = runner.optim_wrapper.optimizer.param_groups
        self.groups = [{key: copy.deepcopy(value) for key, value in g.items() if key != "params"} for g in groups]
        self.states = [copy.deepcopy(scheduler.state_dict()) for scheduler in self._schedulers()]

    def restore(self) -> None:
        """Set them again and let the schedule run to where the training stands."""
        runner: Any = self.runner
        for group, own in zip(runner.optim_wrapper.optimizer.param_groups, self.groups, strict=True):
            group.update(own)
        schedulers = self._schedulers()
        for scheduler, state in zip(schedulers, self.states, strict=True):
            scheduler.load_state_dict(state)
        loop = runner.train_loop
        length = len(loop.dataloader) if isinstance(loop, ExactEpochLoop) else 0
        by_iter = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
        by_epoch = [scheduler for scheduler in schedulers if scheduler.by_epoch]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no optimizer steps between these
            for done in range(1, loop.iter + 1):
                for scheduler in by_iter:
                    scheduler.step()
                if length and done % length == 0:
                    for scheduler in by_epoch:
                        scheduler.step()

    def _schedulers(self) -> list[Any]:
        return list(self.runner.param_schedulers or [])  # type: ignore[arg-type]


def _plain(node: Any) -> Any:
    """What JSON can hold of a config; classes and functions by their names."""
    if hasattr(node, "keys"):
        return {str(key): _plain(node[key]) for key in node.keys()}  # noqa: SIM118
    if isinstance(node, list | tuple):
        return [_plain(item) for item in node]
    if isinstance(node, str):
        return SAME.get(node, node)
    return node.__name__ if callable(node) and hasattr(node, "__name__") else plain(node)


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            name = f"{path}.{key}" if path else key
            if key not in FREE and name not in FREE:
                yield from _flat(value, name)
    elif isinstance(node, list) and node:
        for i, value in enumerate(node):
            yield from _flat(value, f"{path}.{i}")
    else:
        yield path, node


def _covers(key: str, name: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _word(facts: Facts, name: str) -> str:
    return json.dumps(facts[name]) if name in facts else "absent"
