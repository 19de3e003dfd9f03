"""What can be known to fail before training starts fails here, within seconds and with a name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mixedae.engine.preflight.agreement import check_agreement
from mixedae.engine.preflight.data import check_datasets
from mixedae.engine.preflight.keys import check_known_keys
from mixedae.errors import ConfigError, FolderInUseError, ImageSizeError, WeightsError
from mixedae.nodes import image_size, patch_side, type_name, walk

if TYPE_CHECKING:
    from mixedae.engine.resuming import RunFolder

PRETRAINED = ("Pretrained", "PretrainedViT", "PretrainedResNet")
ELSEWHERE = "://"  # torchvision://, open-mmlab://, https://: mmengine's to fetch


def preflight(cfg: Any, splits: Sequence[str] = ("train", "val"), dry_run: bool = False) -> None:
    """Check a resolved config before a Runner is built from it; the cheap checks come first.

    Image and group size, warm-up, kept checkpoints, something to resume from, folders and annotation files,
    checkpoints (read whole), keys of this project's types.

    Args:
        cfg: an ``mmengine.Config`` with the command line's options merged in.
        splits: whose data is needed.
        dry_run: nothing will be saved, so that the folder may hold a run.

    Raises:
        MixedAEError: ImageSizeError, GroupSizeError, DataError, WeightsError or ConfigError.
    """
    check_sizes(cfg)
    check_schedule(cfg)
    check_retention(cfg)
    check_resume(cfg)
    if not dry_run and cfg.get("work_dir"):
        check_new(cfg, cfg["work_dir"])
    check_evaluators(cfg)
    check_agreement(cfg)
    check_datasets(cfg, splits)
    check_checkpoints(cfg)
    check_known_keys(cfg)


def check_sizes(cfg: Any) -> None:
    """Check image and patch size, and what a pre-training's method asks for.

    Args:
        cfg: the resolved config.

    Raises:
        ImageSizeError: the patch size does not divide the image size, or pictures of another size would come in.
        GroupSizeError: the group size does not divide the batch, or there are fewer patches than images in a group.
    """
    for path, node in walk(cfg.get("model") or {}):
        if type_name(node) not in PRETRAINED and type_name(node).endswith(("ViT", "VisionTransformer")):
            (height, width), patch = image_size(node), patch_side(node)
            if height % patch or width % patch:
                raise ImageSizeError(
                    f"model.{path}: patches of {patch} do not divide an image of {height} x {width}; the nearest sizes "
                    f"are {height // patch * patch} and {-(-height // patch) * patch}"
                )
    check_method(cfg)


def check_method(cfg: Any) -> None:
    """Ask the method of a pre-training about its config (see :mod:`mixedae.methods`), if it has something to say.

    Args:
        cfg: the resolved config.

    Raises:
        MixedAEError: what the method says.
    """
    model, loader = cfg.get("model") or {}, cfg.get("train_dataloader")
    if not (type_name(model) and model.get("backbone") and loader):
        return
    from mmengine.registry import MODELS

    import mixedae.registry

    scope = mixedae.registry.MODELS if str(model["type"]).startswith(f"{mixedae.registry.SCOPE}.") else MODELS
    method = scope.get(model["type"])
    if check := getattr(method, "check_config", None):
        check(model, loader)


def check_schedule(cfg: Any) -> None:
    """Check that no scheduler begins after the run; a warm-up longer than the run never reaches its rate.

    Args:
        cfg: the resolved config.

    Raises:
        ConfigError: naming the scheduler.
    """
    train_cfg = cfg.get("train_cfg") or {}
    epochs, iterations = train_cfg.get("max_epochs"), train_cfg.get("max_iters")
    schedulers = cfg.get("param_scheduler") or ()
    for i, scheduler in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        last, unit = (epochs, "epochs") if scheduler.get("by_epoch", True) else (iterations, "iterations")
        begin, end = scheduler.get("begin", 0), scheduler.get("end")
        if last and begin > last:
            raise ConfigError(
                f"param_scheduler[{i}] ({type_name(scheduler)}) begins at {begin} {unit}, the run ends at {last}: it "
                "would never act; shorten the warm-up before it or train longer"
            )
        if last and type_name(scheduler) == "LinearLR" and begin == 0 and end is not None and end > last:
            raise ConfigError(
                f"param_scheduler[{i}] warms up for {end} {unit}, the run ends at {last} before the learning rate is "
                f"reached; shorten it (param_scheduler.{i}.end) or train longer"
            )


def check_evaluators(cfg: Any) -> None:
    """Check that what is measured can be: the best five of three classes cannot, which mmpretrain says at the end.

    Args:
        cfg: the resolved config.

    Raises:
        ConfigError: naming both keys.
    """
    classes = ((cfg.get("model") or {}).get("head") or {}).get("num_classes")
    for split in ("val", "test"):
        evaluators = cfg.get(f"{split}_evaluator") or ()
        for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
            best = evaluator.get("topk", 1)
            most = max(best) if isinstance(best, list | tuple) else best
            if type_name(evaluator) == "Accuracy" and isinstance(classes, int) and most > classes:
                raise ConfigError(
                    f"{split}_evaluator.topk={best} and model.head.num_classes={classes} found: there are no {most} "
                    f"best of {classes} classes; set {split}_evaluator.topk=1"
                )


def check_retention(cfg: Any) -> None:
    """Check that a run keeps checkpoints to go on from, and two at least.

    Args:
        cfg: the resolved config.

    Raises:
        ConfigError: it keeps one, or none but the best.
    """
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if hook.get("max_keep_ckpts") == 1:
        raise ConfigError(
            "default_hooks.checkpoint.max_keep_ckpts=1 found: the only checkpoint would be removed before the next one "
            "is written, and a kill between the two would lose the run; keep 2 or more, or -1 for all"
        )
    if hook.get("save_best") and hook.get("interval", -1) <= 0 and not hook.get("save_last", True):
        raise ConfigError(
            "default_hooks.checkpoint saves the best weights only (interval and save_last are off): they have no "
            "optimizer, and a run that stops could not go on. Set default_hooks.checkpoint.interval=1"
        )


def check_resume(cfg: Any) -> None:
    """Check that there is something to go on from; which file it is, is decided when the run starts.

    Args:
        cfg: the resolved config.

    Raises:
        WeightsError: ``resume`` is set without a file, and the run's folder has no checkpoint.
    """
    if cfg.get("resume") and not cfg.get("load_from"):
        _run_folder(cfg, cfg["work_dir"]).checkpoints()


def check_new(cfg: Any, work_dir: str) -> None:
    """Check that a run which is not resumed begins in a folder without checkpoints: both would mix.

    Args:
        cfg: the resolved config.
        work_dir: the run's.

    Raises:
        FolderInUseError: naming what is there.
    """
    if cfg.get("resume"):
        return
    folder = _run_folder(cfg, work_dir)
    if names := folder.names():
        raise FolderInUseError(
            f"{folder.folder} holds the checkpoints of another run ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
            ": both would mix. Go on with that run (--resume), choose another --work-dir, or remove it first"
        )


def _run_folder(cfg: Any, work_dir: str) -> "RunFolder":
    from mixedae.engine.resuming import RunFolder  # torch, seconds

    return RunFolder.of(cfg, work_dir)


def check_checkpoints(cfg: Any) -> None:
    """Read every local checkpoint that the config starts from, to its last byte.

    Args:
        cfg: the resolved config; ``init_cfg`` of any module, and ``load_from``.

    Raises:
        WeightsError: none was given where one is needed, or it is absent, damaged or unsafe.
    """
    from mixedae.weights import PretrainedViT, read_ahead  # torch and mmpretrain, seconds

    paths: list[tuple[Any, str]] = []
    for _, node in walk(cfg.get("model") or {}):
        if type_name(node) in PRETRAINED:
            checkpoint = node.get("checkpoint")
            if not checkpoint:
                raise PretrainedViT.not_given()
            if checkpoint != "random":
                paths.append((checkpoint, node.get("part") or ""))
    if cfg.get("load_from"):
        paths.append((cfg["load_from"], ""))
    for path, part in paths:
        if not isinstance(path, str):
            raise WeightsError(f"checkpoint {path!r} found; expected the path of a file")
        if ELSEWHERE not in path:
            read_ahead(path, part)
