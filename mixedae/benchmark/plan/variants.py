"""What a cell changes of its recipe: overlays of the config, keys that a search sets, fewer steps."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedae.errors import ConfigError
from mixedae.overlays import merge_overlays

COUNTED_OTHERWISE = ("T_max", "milestones", "step_size", "total_iters", "total_steps", "periods")  # of a schedule


@dataclass(frozen=True)
class Variant:
    """A config and what is changed of it.

    Attributes:
        config: relative to the repository's root.
        overlays: variables of the config that are merged over it, in order.
        options: key of the config to value, merged last.
        share: of the recipe's steps.
    """

    config: str
    overlays: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    share: float = 1.0

    def merge(self, config: Any, path: Path) -> tuple[Any, dict[str, Any]]:
        """The config with all of it, and what ``--cfg-options`` must say beside the overlays.

        Args:
            config: an mmengine Config, which is not changed.
            path: the config's, for messages.

        Raises:
            ConfigError: no such overlay, no such key, or a schedule that cannot be shortened.
        """
        merged = copy.deepcopy(config)
        merge_overlays(merged, self.overlays, path)
        options = {**dict(self.options), **_shortened(merged, self.share, path)}
        for key in options:
            _check_key(merged, key, path)
        if options:
            merged.merge_from_dict(options)
        return merged, options


def _check_key(config: Any, key: str, path: Path) -> None:
    """Refuse a key that the config does not have: merged over it, it would change nothing."""
    node = config
    for part in key.split("."):
        try:
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            known = ", ".join(map(str, node)) if isinstance(node, dict) else repr(node)
            raise ConfigError(f"config {path} has no `{key}`: in the place of `{part}` is {known}") from None


def _shortened(config: Any, share: float, path: Path) -> dict[str, int]:
    """The options that train a config with a share of its steps, its schedule shortened with it."""
    if share == 1:
        return {}
    steps = (config.get("train_cfg") or {}).get("max_iters")
    schedulers = config.get("param_scheduler") or []
    if not isinstance(schedulers, list | tuple):
        raise ConfigError(f"config {path}: halving needs param_scheduler as a list; found one scheduler")
    odd = [key for each in schedulers for key in COUNTED_OTHERWISE if key in each]
    if steps is None or odd or any(each.get("by_epoch", True) for each in schedulers):
        found = f"`{odd[0]}` in its schedule" if odd else "epochs"
        raise ConfigError(f"config {path}: halving needs iterations, and a schedule with begin and end; found {found}")
    less = max(1, round(steps * share))
    options = {"train_cfg.max_iters": less, "train_cfg.val_interval": less}
    for index, each in enumerate(schedulers):
        scaled = {
            key: max(int(key == "end"), round(each[key] * less / steps)) for key in ("begin", "end") if key in each
        }
        options |= {f"param_scheduler.{index}.{key}": value for key, value in scaled.items()}
        before, after = (span.get("end", steps) - span.get("begin", 0) for span in (each, {"end": less, **scaled}))
        if after < 2 <= before:  # mmengine never leaves the first value of a schedule of one step
            raise ConfigError(
                f"config {path}: halving leaves {after} of {before} steps of param_scheduler.{index} "
                f"({each.get('type')}); give the recipe more steps, the grid fewer points, or switch halving off"
            )
    return options
