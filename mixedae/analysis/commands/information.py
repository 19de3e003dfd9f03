"""analyze.py information: the claim of section 3.1, measured by held-out log-likelihood."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mixedae.analysis.checkpoints import Loaded, grouped, load_pretraining, parse_entries
from mixedae.analysis.figures import COLOURS, MARKERS, in_house_style, new_figure, save, write_data
from mixedae.analysis.intervals import Numbers, clustered_error
from mixedae.analysis.measures.information import (
    batched_errors,
    comparable,
    gaussian_log_likelihood,
    held_out_log_likelihood,
)
from mixedae.analysis.pictures import read_pictures
from mixedae.errors import ConfigError
from mixedae.methods import MAE
from mixedae.models.vit import patch_size
from mixedae.ops import given_by, patchify, sample_sources


def run(args: argparse.Namespace, console: Console) -> list[Path]:
    """Score every checkpoint on the same masked patches of the same images; write information.png and .json.

    Args:
        args: checkpoints (one of MAE and one of MixedAE at least), config, data, split, num_images, out.
        console: for the summary.
    """
    groups_of = grouped(parse_entries(args.checkpoints, args.config))
    models = {name: [load_pretraining(entry) for entry in entries] for name, entries in groups_of.items()}
    every = {f"{name} {i}": one.model for name, of in models.items() for i, one in enumerate(of)}
    group_size = comparable(every)
    some = next(iter(models.values()))[0]
    size = some.model.backbone.patch_embed.init_input_size[0]
    pictures = read_pictures(args.data, size, args.num_images, args.split)
    count = len(pictures.names) // group_size
    if count < 4:
        raise ConfigError(
            f"{len(pictures.names)} pictures found; expected four groups of {group_size} at least, two to estimate the "
            "variance on and two to score"
        )
    pixels = pictures.pixels[: count * group_size]
    length, patch = some.model.backbone.num_patches, patch_size(some.model.backbone)
    if length % group_size:
        raise ConfigError(f"{length} patches do not fall into {group_size} equal parts")
    sources = sample_sources(count, length, group_size, "compose", torch.Generator().manual_seed(0))
    values = (length - length // group_size) * 3 * patch**2

    scores: dict[str, list[Numbers]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, seeds in models.items():
        scores[name], variances = [], []
        for loaded in seeds:
            errors = batched_errors(loaded.model, patchify(loaded.normalise(pixels), patch), sources, group_size)
            nats, both = held_out_log_likelihood(errors, values)
            scores[name].append(nats)
            variances.append(float(np.mean(both)))
        rows[name] = {
            "checkpoints": [str(entry.path) for entry in groups_of[name]],
            "input": input_of(seeds[0].model),
            "variance": variances,
        }
    reference = next(name for name, of in models.items() if isinstance(of[0].model, MAE))
    rows["no input"] = {"checkpoints": [], "input": "none: every value is its mean", "variance": []}
    scores["no input"] = [_without_input(some, pixels, sources, group_size, patch, values)]
    base = np.mean(scores[reference], axis=0)
    for name, seeds_scores in scores.items():
        mean = np.mean(seeds_scores, axis=0)
        rows[name] |= dict(zip(("nats_per_image", "standard_error"), clustered_error(mean), strict=True))
        difference, error = clustered_error(mean - base)
        by_seed = [float((one - base).mean()) for one in seeds_scores]
        rows[name] |= {
            "difference": difference,
            "difference_standard_error": error,
            "difference_by_checkpoint": by_seed,
            "per_image": mean.flatten().tolist(),
        }
    content = {
        "reference": reference,
        "num_images": len(pixels),
        "num_groups": count,
        "masked_values_per_image": values,
        "group_size": group_size,
        "conditions": rows,
    }
    console.print(table(content))
    return [
        save(draw(content), args.out / "information.png"),
        write_data(args.out / "information.json", "information", content),
    ]


def input_of(model: Any) -> str:
    """What the decoder's input was made from.

    Args:
        model: a pre-training model.
    """
    if isinstance(model, MAE):
        return "masked image"
    loss = "with" if model.head.contrastive_weight else "without"
    return f"mixture, {model.backbone.attention} attention, {loss} contrastive loss"


def _without_input(
    loaded: Loaded, pixels: torch.Tensor, sources: torch.Tensor, group_size: int, patch: int, values: int
) -> Numbers:
    """The score of a decoder that sees nothing and predicts each value's mean over the other half's images."""
    targets = loaded.model.head.targets(patchify(loaded.normalise(pixels), patch)).double()
    targets = targets.unflatten(0, (len(sources), group_size))
    masked = ~given_by(sources, group_size)
    result = np.empty(masked.shape[:2])
    half = np.arange(len(sources)) % 2
    for fold in (0, 1):
        others = targets[half != fold].flatten(0, 2)
        mean = others.mean(dim=0)
        variance = float((others - mean).square().mean())
        errors = ((targets[half == fold] - mean).square().sum(dim=-1) * masked[half == fold]).sum(dim=-1)
        result[half == fold] = gaussian_log_likelihood(errors.numpy(), variance, values)
    return result


def table(content: dict[str, Any]) -> Table:
    """The summary for the terminal.

    Args:
        content: of information.json.
    """
    title = f"{content['num_images']} held-out images, {content['num_groups']} groups; nats per image ± standard error"
    result, reference = Table(title=title), content["reference"]
    for column in ("", "input", "log-likelihood", f"- {reference}", "each checkpoint"):
        result.add_column(column)
    for name, row in content["conditions"].items():
        result.add_row(
            name,
            row["input"],
            f"{row['nats_per_image']:.1f} ± {row['standard_error']:.1f}",
            ""
            if name == content["reference"]
            else f"{row['difference']:+.1f} ± {row['difference_standard_error']:.1f}",
            " ".join(f"{v:+.1f}" for v in row["difference_by_checkpoint"]),
        )
    return result


@in_house_style
def draw(content: dict[str, Any]) -> Any:
    """Differences to the masked image with 95 % intervals over images (1.96 standard errors), and a mark per seed.

    Args:
        content: of information.json.
    """
    rows = {name: row for name, row in content["conditions"].items() if row["checkpoints"]}
    figure, axes = new_figure(6.8, 1.0 + 0.45 * len(rows))
    ax = axes[0][0]
    ax.axvline(0, color="#777777", linewidth=1, linestyle=":")
    for line, (name, row) in enumerate(rows.items()):
        at = row["difference_by_checkpoint"]
        if len(at) > 1:
            ax.plot(at, [line + 0.25] * len(at), "|", color=COLOURS[1], markersize=7, label="one checkpoint each")
        if name == content["reference"]:
            ax.plot(0, line, marker="o", color="#777777", markerfacecolor="white")
            continue
        mean, half = row["difference"], 1.96 * row["difference_standard_error"]
        ax.plot([mean - half, mean + half], [line, line], color=COLOURS[0], solid_capstyle="butt")
        ax.plot(mean, line, marker=MARKERS[0], color=COLOURS[0])
    lines, names = ax.get_legend_handles_labels()
    if lines:
        figure.legend(lines[:1], names[:1], loc="outside upper right", fontsize=8, frameon=False)
    ax.set_yticks(range(len(rows)), [f"{name}\n{row['input']}" for name, row in rows.items()], fontsize=8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"Held-out log-likelihood minus {content['reference']}'s\n(nats per image)")
    return figure
