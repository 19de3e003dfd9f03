"""analyze.py reconstruction: originals, mixed inputs and unmixed reconstructions, or MAE's triplets."""

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from mixedae.analysis.checkpoints import Loaded, load_pretraining, parse_entries
from mixedae.analysis.figures import in_house_style, new_figure, save, show_image, write_data
from mixedae.analysis.measures.reconstruction import reconstruct_masked, reconstruct_mixed
from mixedae.analysis.pictures import read_pictures
from mixedae.errors import ConfigError
from mixedae.methods import MAE
from mixedae.models.vit import patch_size

GREY = 0.5  # of removed patches


def run(args: argparse.Namespace, console: Console) -> list[Path]:
    """Write reconstruction_NAME.png for every checkpoint, and reconstruction.json.

    Args:
        args: checkpoints, config, data, split, num_images, mode, out.
        console: for the summary.
    """
    written, content = [], {}
    for entry in parse_entries(args.checkpoints, args.config):
        loaded = load_pretraining(entry)
        model = loaded.model
        if model.neck is None:
            raise ConfigError(f"{entry.name} was trained without reconstruction; it has no decoder")
        size = model.backbone.patch_embed.init_input_size[0]
        pictures = read_pictures(args.data, size, args.num_images, args.split)
        if isinstance(model, MAE):
            figure, data = triplets(loaded, pictures.pixels)
        else:
            mode = args.mode or model.mode
            groups = len(pictures.names) // model.group_size
            if not groups:
                raise ConfigError(f"{entry.name}: {len(pictures.names)} pictures, expected {model.group_size} at least")
            figure, data = mixtures(loaded, pictures.pixels[: groups * model.group_size], mode)
        key = entry.name.replace("/", "_")
        if key in content:
            raise ConfigError(f"two checkpoints are called {entry.name}; give each its own NAME=")
        content[key] = {"checkpoint": str(entry.path), "images": pictures.names[: data.pop("count")], **data}
        console.print(f"{entry.name}: masked patches, mean squared error {data['masked_mse']:.4f} (pixels 0..1)")
        written.append(save(figure, args.out / f"reconstruction_{key}.png"))
    written.append(write_data(args.out / "reconstruction.json", "reconstruction", {"checkpoints": content}))
    return written


@in_house_style
def triplets(loaded: Loaded, pixels: Tensor) -> tuple[Any, dict[str, Any]]:
    """MAE's figure: original, masked, reconstruction.

    Args:
        loaded: a MAE.
        pixels: (n, 3, H, W), 0..1.
    """
    images = loaded.normalise(pixels)
    filled, removed = reconstruct_masked(loaded.model, images, torch.Generator().manual_seed(0))
    shown = loaded.pixels(filled)
    rows = {
        "original": pixels,
        "masked": torch.where(removed, torch.full_like(pixels, GREY), pixels),
        "reconstruction": shown,
    }
    figure, axes = new_figure(1.05 * len(pixels) + 1.0, 3.3, 3, len(pixels))
    for line, (name, of) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, of, strict=True):
            show_image(ax, image)
        label(line[0], name)
    error = ((shown - pixels).square() * removed).sum() / removed.expand_as(pixels).sum()
    return figure, {"kind": "masked", "count": len(pixels), "masked_mse": float(error)}


@in_house_style
def mixtures(loaded: Loaded, pixels: Tensor, mode: str) -> tuple[Any, dict[str, Any]]:
    """Draw a block of rows per group: its images, then every mixed sample with the images unmixed from it.

    Args:
        loaded: a MixedAE.
        pixels: (B, 3, H, W), 0..1, B a multiple of G.
        mode: compose or full.
    """
    size = loaded.model.group_size
    images = loaded.normalise(pixels)
    mixed, filled, sources = reconstruct_mixed(loaded.model, images, mode, torch.Generator().manual_seed(0))
    mixed, shown = loaded.pixels(mixed), loaded.pixels(filled)
    groups, samples = len(pixels) // size, len(mixed) // (len(pixels) // size)
    figure, axes = new_figure(1.05 * (size + 1) + 1.2, 1.08 * groups * (samples + 1), groups * (samples + 1), size + 1)
    for group in range(groups):
        top = group * (samples + 1)
        show_image(axes[top][0], torch.ones_like(pixels[0]))
        label(axes[top][0], "original")
        for g in range(size):
            show_image(axes[top][1 + g], pixels[group * size + g])
        for sample in range(samples):
            line, m = axes[top + 1 + sample], group * samples + sample
            show_image(line[0], mixed[m])
            label(line[0], "mixed input,\nthen unmixed")
            for g in range(size):
                show_image(line[1 + g], shown[m, g])
    patch = patch_size(loaded.model.backbone)
    original = pixels.unflatten(0, (groups, size)).repeat_interleave(samples, dim=0)
    error = (shown - original).square().sum()  # given patches are as they were and add nothing
    hidden = sources.numel() * (size - 1) * 3 * patch**2
    data = {"kind": f"mixed, {mode}", "count": len(pixels), "group_size": size, "masked_mse": float(error) / hidden}
    return figure, data


def label(axes: Any, text: str) -> None:
    """Name a row at its left.

    Args:
        axes: the first of the row.
        text: the name.
    """
    axes.set_ylabel(text, rotation=0, ha="right", va="center")
