"""analyze.py attention: Fig. 5, and the same attention in numbers, against object masks."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mixedae.analysis.checkpoints import grouped, load_encoder, parse_entries
from mixedae.analysis.figures import HEAT, dots, in_house_style, new_figure, save, show_image, write_data
from mixedae.analysis.intervals import Interval, Numbers, bootstrap
from mixedae.analysis.measures.attention import attention_mass, best_iou, centre_prior, cls_attention, foreground_share
from mixedae.analysis.pictures import Pictures, read_pictures
from mixedae.errors import ConfigError
from mixedae.models.vit import patch_size

MEASURES = ("mass", "best_iou")
TITLES = {"mass": "Attention mass on the foreground (%)", "best_iou": "Best IoU of the thresholded map (%)"}


def run(args: argparse.Namespace, console: Console) -> list[Path]:
    """Write attention.png and attention.json, and attention_objects.png if the pictures have masks.

    Args:
        args: checkpoints, config, data, split, foreground, num_images, size, show, out.
        console: for the summary.
    """
    entries = parse_entries(args.checkpoints, args.config)
    names = grouped(entries)
    pictures: Pictures | None = None
    maps: dict[str, list[Tensor]] = {}
    grid, size = (0, 0), args.size
    for entry in entries:
        loaded = load_encoder(entry)
        patch = patch_size(loaded.model)
        size = size or loaded.model.patch_embed.init_input_size[0]
        if size % patch:
            raise ConfigError(f"{entry.name}: --size {size} is no multiple of its patch size {patch}")
        if pictures is None:
            pictures = read_pictures(args.data, size, args.num_images, args.split, args.foreground)
            grid = (size // patch, size // patch)
        if (size // patch, size // patch) != grid:
            raise ConfigError(f"{entry.name}: patches of {patch} give another grid than {grid}; compare equal patches")
        images = loaded.normalise(pictures.pixels)
        maps.setdefault(entry.name, []).append(
            torch.cat([cls_attention(loaded.model, part) for part in images.split(32)])
        )
    assert pictures is not None
    content: dict[str, Any] = {
        "images": pictures.names,
        "size": size,
        "checkpoints": {name: [str(entry.path) for entry in of] for name, of in names.items()},
        "left_out": pictures.left_out,
    }
    shown = {name: of[0] for name, of in maps.items()}
    written = [save(draw_maps(pictures, shown, args.show), args.out / "attention.png")]
    if pictures.masks is not None:
        content |= judge(maps, foreground_share(pictures.masks, size // grid[0]), grid)
        console.print(table(content))
        written.append(save(draw_numbers(content), args.out / "attention_objects.png"))
    written.append(write_data(args.out / "attention.json", "attention", content))
    return written


def judge(maps: dict[str, list[Tensor]], share: Tensor, grid: tuple[int, int]) -> dict[str, Any]:
    """Both measures for every name (mean over its checkpoints, image by image) and for the baselines.

    Args:
        maps: name to one (n, h, w) tensor per checkpoint.
        share: (n, h, w).
        grid: (h, w).

    Returns:
        ``per_image``, ``summary`` and ``difference_to_first``, with 95 % bootstrap intervals over images.
    """
    flat = torch.ones_like(share)
    baselines = {"uniform": flat, "centre prior": centre_prior(grid).expand_as(share), "best possible": share}
    values: dict[str, dict[str, list[Numbers]]] = {}
    for name, of in (maps | {name: [one] for name, one in baselines.items()}).items():
        values[name] = {
            "mass": [attention_mass(one.double(), share).numpy() for one in of],
            "best_iou": [best_iou(one.double(), share).numpy() for one in of],
        }
    del values["best possible"]["mass"]  # all attention on one foreground patch: always 1
    mean = {name: {key: np.mean(of, axis=0) for key, of in both.items()} for name, both in values.items()}
    first = next(iter(maps))
    return {
        "baselines": list(baselines),
        "per_image": {name: {key: v.tolist() for key, v in both.items()} for name, both in mean.items()},
        "summary": {
            name: {key: vars(bootstrap(v)) | _spread(values[name][key]) for key, v in both.items()}
            for name, both in mean.items()
        },
        "difference_to_first": {
            name: {key: vars(bootstrap(v - mean[first][key])) for key, v in both.items()}
            for name, both in mean.items()
            if name != first
        },
        "first": first,
    }


def _spread(seeds: list[Numbers]) -> dict[str, Any]:
    """How the checkpoints of one name differ."""
    means = [float(one.mean()) for one in seeds]
    return {"checkpoints": means, "std_over_checkpoints": float(np.std(means, ddof=1)) if len(means) > 1 else None}


def table(content: dict[str, Any]) -> Table:
    """The summary for the terminal.

    Args:
        content: of attention.json.
    """
    first = content["first"]
    result = Table(title=f"{len(content['images'])} images, mean [95 % interval over images], in %")
    for column in ("", "mass", f"- {first}", "best IoU", f"- {first}"):
        result.add_column(column)
    for name, both in content["summary"].items():
        cells = []
        for key in MEASURES:
            cells.append(_cell(both.get(key)))
            cells.append(_cell(content["difference_to_first"].get(name, {}).get(key), signed=True))
        result.add_row(name, *cells)
    return result


def _cell(one: dict[str, float] | None, signed: bool = False) -> str:
    if one is None:
        return ""
    sign = "+" if signed else ""
    return f"{100 * one['mean']:{sign}.1f} [{100 * one['low']:{sign}.1f}, {100 * one['high']:{sign}.1f}]"


@in_house_style
def draw_maps(pictures: Pictures, maps: dict[str, Tensor], show: int) -> Any:
    """Fig. 5: pictures above, a row of maps for each checkpoint below, foreground outlined if known.

    Args:
        pictures: some of them are shown, evenly spread.
        maps: name to (n, h, w).
        show: how many columns.
    """
    picked = np.unique(np.linspace(0, len(pictures.names) - 1, show).round().astype(int))
    figure, axes = new_figure(1.05 * len(picked) + 0.9, 1.08 * (len(maps) + 1), len(maps) + 1, len(picked))
    side = pictures.pixels.shape[-1]
    extent = (-0.5, side - 0.5, side - 0.5, -0.5)  # in the pictures' pixels, as the outlines are
    for column, image in enumerate(picked):
        show_image(axes[0][column], pictures.pixels[image])
        for row, of in enumerate(maps.values(), start=1):
            one = of[image]
            show_image(axes[row][column], one, cmap=HEAT, vmin=0, vmax=float(one.max()), extent=extent)
        if pictures.masks is not None:
            for row in range(len(maps) + 1):
                mask = pictures.masks[image].numpy().astype(float)
                for colour, width in (("black", 1.8), ("white", 0.8)):  # seen on dark and on bright
                    axes[row][column].contour(mask, levels=[0.5], colors=colour, linewidths=width)
    for row, name in enumerate(["image", *maps]):
        axes[row][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return figure


@in_house_style
def draw_numbers(content: dict[str, Any]) -> Any:
    """Both measures with their intervals; baselines hollow.

    Args:
        content: of attention.json.
    """
    figure, axes = new_figure(7.4, 0.7 + 0.32 * len(content["summary"]), 1, 2)
    for ax, key in zip(axes[0], MEASURES, strict=True):
        rows = {name: both[key] for name, both in content["summary"].items() if key in both}
        intervals = [Interval(100 * one["mean"], 100 * one["low"], 100 * one["high"]) for one in rows.values()]
        dots(
            ax,
            list(rows),
            [one.mean for one in intervals],
            [one.low for one in intervals],
            [one.high for one in intervals],
            [name in content["baselines"] for name in rows],
        )
        ax.set_xlabel(TITLES[key])
    return figure
