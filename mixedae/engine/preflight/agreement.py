"""One number stands in several keys of a config: where two of them differ, both are named before anything is built."""

from collections.abc import Iterator, Mapping
from typing import Any

from mixedae.engine.preflight.data import leaf_datasets
from mixedae.errors import ConfigError, ImageSizeError
from mixedae.nodes import pair, type_name

WIDTHS = {"b": 768, "base": 768, "l": 1024, "large": 1024, "h": 1280, "huge": 1280}
"""Of mmpretrain's ViTs; others are not compared."""
CROPS = {"RandomResizedCrop": "scale", "LoadRandomResizedCrop": "scale", "RandomCrop": "crop_size"}
TOPICS = {
    "classes": (ConfigError, "the number of classes"),
    "size": (ImageSizeError, "the size of what the model gets in training"),
    "patch": (ImageSizeError, "the patch size"),
    "patches": (ImageSizeError, "the number of patches"),
    "width": (ConfigError, "the width of the tokens"),
    "channels": (ConfigError, "the channels of a picture"),
}

Fact = tuple[str, str, Any]


def check_agreement(cfg: Any) -> None:
    """Compare image size, patch size, patches, width, channels and classes wherever a config says them.

    Args:
        cfg: the resolved config.

    Raises:
        ConfigError: two keys differ.
        ImageSizeError: the same, of a size.
    """
    model = cfg.get("model") or {}
    said: dict[str, tuple[str, Any]] = {}
    for topic, key, value in (*_classes(cfg, model), *_backbone(cfg, model), *_crops(cfg, model)):
        if value is None:
            continue
        first, expected = said.setdefault(topic, (key, value))
        if value != expected:
            kind, name = TOPICS[topic]
            raise kind(f"{first} is {expected} and {key} is {value}: both are {name}; make the two agree")


def _classes(cfg: Any, model: Any) -> Iterator[Fact]:
    roi = model.get("roi_head") or {}
    heads = {
        "model.head": model.get("head"),
        "model.decode_head": model.get("decode_head"),
        "model.auxiliary_head": model.get("auxiliary_head"),
        "model.roi_head.bbox_head": roi.get("bbox_head"),
        "model.roi_head.mask_head": roi.get("mask_head"),
    }
    for key, head in heads.items():
        for place, one in _each(key, head):
            yield "classes", f"{place}.num_classes", one.get("num_classes")
    if (model.get("train_cfg") or {}).get("augments"):  # labels become vectors for mixup; else the number is not read
        for key, part in (("data_preprocessor", cfg), ("model.data_preprocessor", model)):
            yield "classes", f"{key}.num_classes", (part.get("data_preprocessor") or {}).get("num_classes")
    if not any(head for head in heads.values()):
        return
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        for dataset in leaf_datasets(loader["dataset"]) if loader else ():
            if names := (dataset.get("metainfo") or {}).get("classes"):
                yield "classes", f"the length of {split}_dataloader.dataset.metainfo.classes", len(names)


def _backbone(cfg: Any, model: Any) -> Iterator[Fact]:
    """Of a ViT and what reads its tokens."""
    backbone = model.get("backbone") or {}
    kind = type_name(backbone)
    if not kind.endswith(("ViT", "VisionTransformer")):
        return
    arch = backbone.get("arch")
    width = arch.get("embed_dims") if isinstance(arch, Mapping) else WIDTHS.get(str(arch))
    if width is not None:
        yield (
            "width",
            f"model.backbone.arch ({arch}) width" if isinstance(arch, str) else "model.backbone.arch.embed_dims",
            width,
        )
        head, neck = model.get("head") or {}, model.get("neck")
        yield "width", "model.head.in_channels", head.get("in_channels")
        yield "width", "model.head.embed_dims", head.get("embed_dims")
        for place, one in _each("model.neck", neck):
            yield "width", f"{place}.embed_dim", one.get("embed_dim")
            if type_name(one) in ("ViTPyramid", "SimpleFeaturePyramid"):
                yield "width", f"{place}.in_channels", one.get("in_channels")
    yield "channels", "model.backbone.in_channels", backbone.get("in_channels", 3)
    for key, part in (("data_preprocessor", cfg), ("model.data_preprocessor", model)):
        mean = (part.get("data_preprocessor") or {}).get("mean")
        yield "channels", f"the length of {key}.mean", len(mean) if mean else None
    for place, one in _each("model.neck", model.get("neck")):
        if type_name(one) == "MixedAEPretrainDecoder":
            patch, size = backbone.get("patch_size", 16), pair(backbone.get("img_size", 224))
            yield "patch", "model.backbone.patch_size", patch
            yield "patch", f"{place}.patch_size", one.get("patch_size", 16)
            yield "patches", "model.backbone.img_size in patches", size[0] // patch * (size[1] // patch)
            yield "patches", f"{place}.num_patches", one.get("num_patches", 196)
            yield "channels", f"{place}.in_chans", one.get("in_chans", 3)


def _crops(cfg: Any, model: Any) -> Iterator[Fact]:
    """Of classification and segmentation: crops that training cuts, and what the model was built for."""
    backbone = model.get("backbone") or {}
    size = backbone.get("img_size")
    loader = cfg.get("train_dataloader")
    if type_name(model) not in ("ImageClassifier", "EncoderDecoder") or size is None or not loader:
        return
    yield "size", "model.backbone.img_size", pair(size)
    padded = (model.get("data_preprocessor") or {}).get("size")
    yield "size", "model.data_preprocessor.size", pair(padded) if padded else None
    window = (model.get("test_cfg") or {}).get("crop_size")
    yield "size", "model.test_cfg.crop_size", pair(window) if window else None
    for dataset in leaf_datasets(loader["dataset"]):
        for step in dataset.get("pipeline") or ():
            if (key := CROPS.get(type_name(step))) and step.get(key) is not None:
                yield "size", f"{key} of {type_name(step)} in train_dataloader", pair(step[key])


def _each(key: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, list | tuple):
        yield from ((f"{key}[{i}]", one) for i, one in enumerate(part) if one)
    elif part:
        yield key, part
