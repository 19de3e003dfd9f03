"""Predictions for any pictures, without labels: mmengine's test loop over a folder, a list or one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixedae.datasets.pictures import list_pictures
from mixedae.engine.hooks.pictures import colours
from mixedae.engine.preflight.data import leaf_datasets
from mixedae.errors import ConfigError
from mixedae.registry import HOOKS

OF_TRUTH = ("LoadAnnotations",)
NOT_FOR_PICTURES = ("batch_sampler", "dataset", "sampler", "drop_last")
OF_TRAINING = ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataloader", "val_cfg")


@HOOKS.register_module()
class TestProgressHook(Hook):
    """Shows how far a test is, on standard error; on a terminal as a bar.

    Args:
        pictures: how many there are.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))

    def before_test(self, runner: Runner) -> None:
        """Begin.

        Args:
            runner: the runner.
        """
        self._task = self._bar.add_task("predicting", total=self.pictures)
        if is_main_process():
            self._bar.start()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Go on by a batch.

        Args:
            runner: the runner.
            batch_idx: unused.
            data_batch: unused.
            outputs: one for each picture.
        """
        self._bar.advance(self._task, len(outputs) * runner.world_size)

    def after_test(self, runner: Runner) -> None:
        """End.

        Args:
            runner: the runner.
        """
        self._bar.stop()


def use_pictures(cfg: Config, pictures: Path, out_dir: Path, drawn: int, known: Mapping[str, Any]) -> int:
    """Change a config into one that predicts for pictures, with the transforms of its test and nothing of its labels.

    Args:
        cfg: of a classification, segmentation or detection; it is changed.
        pictures: a folder, read at any depth; a list of paths (``.txt``); or one picture.
        out_dir: where the predictions go.
        drawn: so many pictures are drawn with their predictions.
        known: ``classes`` and perhaps ``palette``, as the checkpoint has them; else those of the config are taken.

    Returns:
        How many pictures there are.

    Raises:
        ConfigError: a config without a test.
        DataError: no pictures.
    """
    if not cfg.get("test_dataloader"):
        raise ConfigError(f"{cfg.filename} has no test_dataloader: it pre-trains, and predicts nothing of a picture")
    dataset = next(iter(leaf_datasets(cfg.test_dataloader.dataset)))
    of_config = dataset.get("metainfo") or {}
    classes = list(known.get("classes") or of_config.get("classes") or ())
    palette = known.get("palette") or of_config.get("palette") or ()
    classes += [f"class {label}" for label in range(len(classes), _channels(cfg))]
    metainfo = dict(classes=classes, palette=list(palette) if len(palette) >= len(classes) else colours(len(classes)))
    is_list = pictures.suffix == ".txt"
    place = dict(data_root=str(pictures.parent), ann_file=str(pictures)) if is_list else dict(data_root=str(pictures))
    count = len(list_pictures(Path(place["data_root"]), place.get("ann_file", "")))
    cfg.test_dataloader = dict(
        {key: value for key, value in cfg.test_dataloader.items() if key not in NOT_FOR_PICTURES},
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(type="mixedae.Pictures", metainfo=metainfo, pipeline=_without_truth(dataset.pipeline), **place),
    )
    cfg.test_evaluator, cfg.test_cfg = [], dict(type="TestLoop")
    cfg.custom_hooks = [
        dict(type="mixedae.PredictionHook", out_dir=str(out_dir), num_pictures=drawn),
        dict(type="mixedae.TestProgressHook", pictures=count),
    ]
    for key in (*OF_TRAINING, "val_evaluator", "auto_scale_lr"):
        cfg.pop(key, None)
    return count


def _without_truth(pipeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A pipeline that begins with a file and loads no labels."""
    steps = [step for step in pipeline if str(step.get("type")).split(".")[-1] not in OF_TRUTH]
    reads = any("Load" in str(step.get("type")) for step in steps)
    return steps if reads else [dict(type="mixedae.LoadPicture"), *steps]  # pictures were in memory


def _channels(cfg: Config) -> int:
    """How many classes a model tells apart; 0 if the config does not say."""
    model = cfg.model
    heads = (model.get("head"), model.get("decode_head"), (model.get("roi_head") or {}).get("bbox_head"))
    for head in heads:
        head = head[-1] if isinstance(head, list | tuple) else head
        if head and isinstance(head.get("num_classes"), int):
            return int(head["num_classes"])
    return 0
