"""What a pre-training's config must hold, asked before anything is built."""

from typing import Any

from mixedae.errors import GroupSizeError, ImageSizeError
from mixedae.nodes import crop_sizes, image_size, patch_side, type_name


def check_crops(model: Any, loader: Any) -> None:
    """Check that the pipeline crops to the encoder's size, which fixed positions need.

    Args:
        model: of the config.
        loader: ``train_dataloader``.

    Raises:
        ImageSizeError: another size.
    """
    size = image_size(model["backbone"])
    for found in crop_sizes(loader):
        if found != size:
            raise ImageSizeError(
                f"the training pipeline crops to {found[0] if found[0] == found[1] else found}, "
                f"model.backbone.img_size is {size[0]} x {size[1]}: the fixed positions of pre-training need the same; "
                "change one of them"
            )


def check_groups(model: Any, loader: Any) -> None:
    """Check that groups of G images fit the batch and the patches.

    Args:
        model: of the config, with ``group_size``.
        loader: ``train_dataloader``.

    Raises:
        GroupSizeError: G does not divide the batch, an incomplete batch may come, or there are fewer patches than G.
    """
    group, batch = model.get("group_size", 4), loader.get("batch_size")
    size, patch = image_size(model["backbone"]), patch_side(model["backbone"])
    patches = size[0] // patch * (size[1] // patch)
    if group > patches:
        raise GroupSizeError(f"group_size={group} images share {patches} patches; expected at most {patches}")
    if group < 2 or (batch and batch % group):
        raise GroupSizeError(
            f"train_dataloader.batch_size={batch} is per process and must be a multiple of model.group_size={group}, "
            "which is at least 2; change one of them"
        )
    if not loader.get("drop_last") and type_name(loader.get("sampler") or {}) != "InfiniteSampler":
        raise GroupSizeError(
            "train_dataloader.drop_last is off: the last batch of an epoch may hold a number of images that "
            f"model.group_size={group} does not divide; set train_dataloader.drop_last=True"
        )
