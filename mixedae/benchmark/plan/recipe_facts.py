"""What a resolved config says of itself: hooks that it lacks, metrics, folders that it reads, its encoder. No torch."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from mixedae.records import probe_scalar

# What the harness reads a run by: without the first there is no result, without the second no batch to trust.
NEEDED_HOOKS = ("mixedae.RunRecordHook", "mixedae.EffectiveBatchHook")
OWN_TYPES = "mixedae."  # the types whose keys `bench.py validate` knows


def encoder_of(tree: dict[str, Any]) -> str:
    """The type of the backbone; empty where the config names none."""
    backbone = (tree.get("model") or {}).get("backbone") or {}
    return str(backbone.get("type", ""))


def lacks_of(tree: dict[str, Any]) -> tuple[str, ...]:
    """Hooks that are needed and not named; probes of frozen features leave a record of their own."""
    if str((tree.get("train_cfg") or {}).get("type", "")).startswith(OWN_TYPES):
        return ()
    named = {hook.get("type") for hook in tree.get("custom_hooks") or () if isinstance(hook, dict)}
    return tuple(name for name in NEEDED_HOOKS if name not in named)


def measured_by(tree: dict[str, Any]) -> frozenset[str] | None:
    """Keys of the metrics of loops and evaluators whose keys are known from their config."""
    loop, evaluator = tree.get("train_cfg") or {}, tree.get("val_evaluator")
    if loop.get("type") == "mixedae.LayerProbeLoop":
        layers = [int(index) + 1 for index in tree["model"]["backbone"].get("out_indices") or ()]
        return frozenset(probe_scalar(probe, layer) for probe in ("knn", "linear") for layer in layers)
    if loop.get("type") == "mixedae.KNNProbeLoop" and not loop.get("choose", True):
        best = ["knn/best"] if isinstance(loop.get("temperature"), list | tuple) else []
        return frozenset([*(f"knn/top1_k{k}" for k in loop.get("ks") or ()), *best])
    found: set[str] = set()
    for each in evaluator if isinstance(evaluator, list) else [evaluator or {}]:
        kind = str(each.get("type", "")).split(".")[-1]
        if kind == "Accuracy":
            best = each.get("topk", 1)
            found |= {f"accuracy/top{k}" for k in (best if isinstance(best, list | tuple) else [best])}
        elif kind == "IoUMetric":
            found |= {"aAcc", "mAcc", *each.get("iou_metrics", ["mIoU"])}
        elif kind == "CocoMetric":
            metrics = each.get("metric", "bbox")
            sizes = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
            found |= {
                f"coco/{m}_{size}" for m in ([metrics] if isinstance(metrics, str) else metrics) for size in sizes
            }
        else:
            return None
    return frozenset(found)


def folders_of(node: Any) -> Iterator[str]:
    """Folders of pictures of every dataset inside a config."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from folders_of(item)
    elif isinstance(node, dict):
        if root := node.get("data_root"):
            by_split = node.get("split") if str(node.get("type")).split(".")[-1] == "ImageNet" else ""
            prefix = node.get("data_prefix") or by_split or ""
            for folder in prefix.values() if isinstance(prefix, dict) else [prefix]:
                yield str(PurePosixPath(root, folder))
            return
        yield from folders_of(list(node.values()))
