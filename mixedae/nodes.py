"""Dictionaries inside a config: walking over them, the type that one names, sizes. No torch, no mmengine."""

from collections.abc import Iterator, Sequence
from typing import Any


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dict inside a config, with its path.

    Args:
        node: a config, dict, list or value.
        path: of ``node``.

    Yields:
        Pairs such as ``('model.backbone', {...})``.
    """
    if hasattr(node, "keys"):
        yield path, node
        for key in node.keys():  # noqa: SIM118  # mmengine's Config iterates over keys only through keys()
            yield from walk(node[key], f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for i, item in enumerate(node):
            yield from walk(item, f"{path}[{i}]")


def type_name(node: Any) -> str:
    """The type that a dict names, without its scope; empty without one."""
    return str(node.get("type", "")).split(".")[-1]


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of one number or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(backbone: Any) -> tuple[int, int]:
    """(height, width) that a ViT's config is for, in pixels."""
    return pair(backbone.get("img_size", 224))


def patch_side(backbone: Any) -> int:
    """Side of a ViT's patches in pixels."""
    side: int = pair(backbone.get("patch_size", 16))[0]
    return side


def seen_per_picture(loader: Any) -> float:
    """How many pictures of the largest crop's size one picture is seen as: views count by their area.

    Two crops of 224 and ten of 96 are 3.8 pictures. iBOT (arXiv 2111.07832, Table 1) calls epochs times this effective
    epochs, as the papers' tables do.

    Args:
        loader: ``train_dataloader``.
    """
    areas = [height * width for height, width in view_sizes(loader)]
    return sum(areas) / max(areas) if areas else 1.0


def view_sizes(loader: Any) -> list[tuple[int, int]]:
    """(height, width) of each view that a training loader gives of a picture; empty without several views.

    Args:
        loader: ``train_dataloader``.
    """
    for _, step in walk((loader.get("dataset") or {}).get("pipeline") or ()):
        if (counts := step.get("num_views")) is not None:
            counts = [counts] if isinstance(counts, int) else counts
            sizes = [crop_sizes({"dataset": {"pipeline": views}}) for views in step.get("transforms") or ()]
            return [size[0] for n, size in zip(counts, sizes, strict=True) if size for _ in range(n)]
    return []


def crop_sizes(loader: Any) -> list[tuple[int, int]]:
    """(height, width) of each random crop that a training loader's pipeline cuts, those inside other steps included."""
    found = []
    for _, step in walk((loader.get("dataset") or {}).get("pipeline") or ()):
        if type_name(step).endswith("RandomResizedCrop") and step.get("scale") is not None:
            found.append(pair(step["scale"]))
    return found
