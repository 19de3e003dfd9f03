"""Features of a frozen encoder, and a cache on disk that knows them by the content they were computed from."""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.datasets.fingerprint import content_hash
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.files import replacing
from mixedae.nodes import walk
from mixedae.weights import fingerprint

FOLDER = "work_dirs/features"
POOLS = {
    "mean": "mean of the patches (ViT) or of the places (ResNet) of the backbone's last output, float32",
    "cls": "[CLS] of the backbone's last output, float32",
    "both": "[CLS] and the mean of the patches of the backbone's last output, side by side, float32",
    "tokens": "patches of the backbone's last output, float32",
}
"""What a picture's feature is. A backbone that gives several layers (``out_indices``) has them side by side."""
SCHEMA = 1
RANDOM = ("Rand", "Jitter", "Augment", "Lighting", "Blur", "Cutout", "Albu", "Mix")
"""Parts of the names of transforms that draw."""


@torch.no_grad()
def features_of(
    model: nn.Module, loader: DataLoader, pool: str = "mean", watch: Callable[[int], object] = lambda _: None
) -> Tensor:
    """One feature a picture: the mean over patches or places, or what else the backbone's ``out_type`` gives.

    The layers that the backbone gives (``out_indices``) stand side by side, in their order.

    Args:
        model: with ``backbone`` and ``data_preprocessor``, wrapped or not; its mode is restored.
        loader: pictures, in order; every process may have its share.
        pool: of a ViT's tokens, see :data:`POOLS`.
        watch: is called with the number of pictures of each batch that is done.

    Returns:
        (N, D), or (N, patches, D), on the CPU, in the dataset's order; empty on all but the main process.

    Raises:
        ConfigError: [CLS] or tokens of a backbone that does not give them.
    """
    module = unwrapped(model)
    was_training = module.training
    module.eval()
    found: list[Tensor] = []
    for batch in loader:
        outs = module.backbone(module.data_preprocessor(batch, False)["inputs"])
        out = torch.cat([pooled(layer, module.backbone, pool) for layer in outs], dim=-1)
        found += [row.clone() for row in out.float().cpu()]  # pickled, a view would carry its whole batch
        watch(len(out))
    module.train(was_training)
    everything = collect_results(found, len(loader.dataset), "cpu")  # type: ignore[arg-type]
    return torch.stack(everything) if everything else torch.empty(0)


def pooled(out: Tensor, backbone: Any, pool: str) -> Tensor:
    """What of one layer's output is the feature.

    Args:
        out: tokens (B, extra + N, D), maps (B, D, H, W), or what the backbone has pooled itself, (B, D).
        backbone: whose ``num_extra_tokens`` come first.
        pool: see :data:`POOLS`.

    Returns:
        (B, D); (B, 2 D) for ``both``; (B, N, D) for ``tokens``.

    Raises:
        ConfigError: see :func:`features_of`.
    """
    if out.ndim == 3:
        extra = backbone.num_extra_tokens
        if pool in ("cls", "both") and not extra:
            raise ConfigError(f"pool={pool!r} found, and a backbone without a [CLS] token; take pool='mean'")
        mean = out[:, extra:].mean(1) if pool in ("mean", "both") else None
        parts = {"cls": (out[:, 0],), "tokens": (out[:, extra:],), "mean": (mean,), "both": (out[:, 0], mean)}[pool]
        return torch.cat(parts, dim=-1)  # type: ignore[arg-type]
    if pool != "mean":
        raise ConfigError(
            f"pool={pool!r} found, and a backbone whose outputs have the shape {tuple(out.shape)}, expected tokens; "
            "set model.backbone.out_type=raw"
        )
    return out.mean((2, 3)) if out.ndim == 4 else out


def cached_features(
    runner: Runner, loader: DataLoader, config: Mapping[str, Any], folder: str | Path, pool: str = "mean"
) -> Tensor:
    """:func:`features_of` a runner's model, from the cache if it holds them.

    Args:
        runner: whose model computes them.
        loader: pictures, in order.
        config: the loader's, whose pipeline is part of the cache's key.
        folder: the cache.
        pool: see :data:`POOLS`.

    Returns:
        (N, D) on the CPU, on every process.

    Raises:
        ConfigError: the pipeline draws random numbers, so that there is no such thing as a picture's features.
    """
    header = describe(runner, loader, config, pool)
    path = cache_path(folder, header)
    shared: list[Any] = [read(path, header) if is_main_process() else None]
    broadcast_object_list(shared)
    if shared[0] is not None:
        runner.logger.info(f"features of {len(shared[0])} pictures: from {path}")
        return shared[0]
    features = features_of(runner.model, loader, pool)
    shared = [features if is_main_process() else None]
    broadcast_object_list(shared)
    if is_main_process():
        write(path, features, header)
        runner.logger.info(f"features of {len(features)} pictures: written to {path}")
    return shared[0]


def cache_path(folder: str | Path, header: dict[str, Any]) -> Path:
    """Where features are kept.

    Args:
        folder: the cache.
        header: of :func:`describe`.
    """
    name = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:32]
    return Path(folder) / f"{name}.safetensors"


def describe(runner: Runner, loader: DataLoader, config: Mapping[str, Any], pool: str = "mean") -> dict[str, Any]:
    """All that features depend on; equal dicts, equal features.

    Args:
        runner: whose model computes them.
        loader: pictures.
        config: the loader's.
        pool: see :data:`POOLS`.

    Returns:
        What JSON can hold: weights and pictures by SHA-256, the backbone's config, pre-processing and pipeline.

    Raises:
        ConfigError: see :func:`cached_features`; or a dataset around another one, whose pipeline is not seen from here.
    """
    pipeline = config["dataset"].get("pipeline")
    if not pipeline:
        raise ConfigError(
            f"{config['dataset'].get('type')} has no pipeline of its own, so features could not be known again by it; "
            "give a dataset that is not wrapped in another"
        )
    if random := [
        node["type"] for _, node in walk(list(pipeline)) if any(part in str(node.get("type")) for part in RANDOM)
    ]:
        raise ConfigError(
            f"features through a pipeline with {random[0]} would be of random crops; use the test pipeline"
        )
    module = unwrapped(runner.model)
    backbone = {key: value for key, value in runner.cfg.model.backbone.items() if key != "init_cfg"}
    preprocessor = (
        runner.cfg.model.get("data_preprocessor") or runner.cfg.get("data_preprocessor") or {}
    )  # Runner's order
    content = {
        "schema": SCHEMA,
        "kind": POOLS[pool],
        "made_with": {name: version(name) for name in ("torch", "torchvision", "onedl-mmpretrain", "pillow")},
        "device": next(module.parameters()).device.type,
        "weights_sha256": fingerprint(module.backbone),
        "backbone": backbone,
        "data_preprocessor": {
            key: value for key, value in preprocessor.items() if key not in ("num_classes", "to_onehot")
        },
        "pipeline": pipeline,
        "pictures": len(loader.dataset),  # type: ignore[arg-type]
        "pictures_sha256": pictures_sha256(loader.dataset),
    }
    return json.loads(json.dumps(content, default=str))


def pictures_sha256(dataset: Any) -> str:
    """SHA-256 over the contents of a dataset's pictures in order, wherever they lie; every byte is read.

    Args:
        dataset: of mmpretrain, with files (``img_path``) or with pixels in memory (``img``).
    """
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if "img" in info:
            digest.update(f"{info['img'].shape} ".encode() + info["img"].tobytes())
        else:
            digest.update(content_hash(Path(info["img_path"])).encode())
    return digest.hexdigest()


def write(path: Path, features: Tensor, header: dict[str, Any]) -> None:
    """Write a cache file in one step.

    Args:
        path: the file; folders are made.
        features: (N, D).
        header: of :func:`describe`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    features = features.contiguous()
    metadata = {"header": json.dumps(header, sort_keys=True), "sha256": fingerprint({"features": features})}
    with replacing(path) as temporary:
        temporary.write_bytes(save({"features": features}, metadata))


def read(path: Path, header: dict[str, Any]) -> Tensor | None:
    """Read a cache file, if it is what it should be.

    Args:
        path: the file.
        header: of :func:`describe`.

    Returns:
        (N, D), or None where there is no file, or, with a warning, one that is damaged or of other features.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata, features = file.metadata() or {}, file.get_tensor("features")
        problem = (
            "is of other features than its name says"
            if json.loads(metadata.get("header", "null")) != header
            else "is damaged: its checksum is wrong"
            if fingerprint({"features": features}) != metadata.get("sha256")
            else f"has {len(features)} features for {header['pictures']} pictures"
            if len(features) != header["pictures"]
            else None
        )
    except (SafetensorError, OSError, ValueError) as error:
        problem = f"cannot be read: {error}"
    if problem is None:
        return features
    MMLogger.get_current_instance().warning(f"feature cache: {path} {problem}; it is not used, but computed again")
    return None
