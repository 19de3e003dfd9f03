"""analyze.py cost: what every pre-training config costs, beside the paper's GPU-days."""

import argparse
import csv
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mixedae.analysis.figures import COLOURS, in_house_style, new_figure, save, write_data
from mixedae.analysis.measures.cost import (
    ABLATIONS,
    PRETRAIN,
    REFERENCE,
    StepCost,
    gpu_days,
    pretraining_configs,
    published_row,
    step_cost,
)
from mixedae.benchmark.plan.published import load_published
from mixedae.benchmark.plan.suites import BENCHMARK
from mixedae.errors import ConfigError
from mixedae.files import replacing

COLUMNS = (
    "config", "epochs", "parameters", "forward_gflops", "gflops", "activation_mb", "relative_flops",
    "predicted_gpu_days", "published_gpu_days", "published_row",
)  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> list[Path]:
    """Count every config; write cost.png, cost.csv and cost.json.

    Args:
        args: configs (files, folders, suites), out.
        console: for the summary.
    """
    published = load_published(BENCHMARK / "published.yaml")
    (reference,) = pretraining_configs([PRETRAIN / f"{REFERENCE}.py"]).values()
    scale = gpu_days(published, published_row(reference))
    if scale is None:
        raise ConfigError(f"{BENCHMARK}/published.yaml has no GPU-days for {REFERENCE}")
    known: dict[str, StepCost] = {}

    def cost_of(cfg: Any) -> StepCost:
        key = repr(cfg.model)  # 300 and 1600 epochs of one model need one count
        if key not in known:
            known[key] = step_cost(cfg.model.to_dict(), cfg.model.backbone.img_size, cfg.get("train_dataloader"))
        return known[key]

    base, base_epochs = cost_of(reference), reference.train_cfg.max_epochs
    rows: list[dict[str, Any]] = []
    configs = pretraining_configs(args.configs or [PRETRAIN, *ABLATIONS])
    for name, cfg in track(
        configs.items(), "counting", console=console, transient=True, disable=not console.is_terminal
    ):
        cost, epochs, ref = cost_of(cfg), cfg.train_cfg.max_epochs, published_row(cfg)
        printed = gpu_days(published, ref)
        relative = cost.flops / base.flops
        rows.append(
            {
                "config": name,
                "epochs": epochs,
                "parameters": cost.parameters,
                "forward_gflops": cost.forward_flops / 1e9,
                "gflops": cost.flops / 1e9,
                "activation_mb": cost.activation_bytes / 1e6,
                "relative_flops": relative,
                "predicted_gpu_days": scale * relative * epochs / base_epochs,
                "published_gpu_days": printed,
                "published_row": f"{ref.table}: {ref.method}, {ref.epochs} epochs" if ref and printed else None,
            }
        )
    console.print(table(rows))
    content = {"reference": REFERENCE, "reference_gpu_days": scale, "configs": rows}
    return [
        save(draw(rows), args.out / "cost.png"),
        write_csv(args.out / "cost.csv", rows),
        write_data(args.out / "cost.json", "cost", content),
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the rows in one step.

    Args:
        path: of the file.
        rows: of cost.json.
    """
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def table(rows: list[dict[str, Any]]) -> Table:
    """The summary for the terminal.

    Args:
        rows: of cost.json.
    """
    result = Table(title="One image, forward and backward; GPU-days in proportion to MAE's published ones")
    result.add_column("config", overflow="fold")
    for column in ("M params", "GFLOPs", "x MAE", "activations, MB (fp32)", "GPU-days", "published", "row"):
        result.add_column(column, justify="left" if column == "row" else "right")
    for row in rows:
        result.add_row(
            row["config"],
            f"{row['parameters'] / 1e6:.1f}",
            f"{row['gflops']:.1f}",
            f"{row['relative_flops']:.3f}",
            f"{row['activation_mb']:.0f}",
            f"{row['predicted_gpu_days']:.1f}",
            "" if row["published_gpu_days"] is None else f"{row['published_gpu_days']:.1f}",
            row["published_row"] or "",
        )
    return result


@in_house_style
def draw(rows: list[dict[str, Any]]) -> Any:
    """Predicted GPU-days as bars, published ones as marks.

    Args:
        rows: of cost.json.
    """
    figure, axes = new_figure(7.2, 0.8 + 0.25 * len(rows))
    ax = axes[0][0]
    lines = range(len(rows))
    ax.barh(lines, [row["predicted_gpu_days"] for row in rows], height=0.6, color=COLOURS[3], label="predicted")
    marks = [(row["published_gpu_days"], i) for i, row in enumerate(rows) if row["published_gpu_days"] is not None]
    if marks:
        ax.plot(*zip(*marks, strict=True), "D", color="black", markersize=5, linestyle="", label="published")
    ax.set_yticks(lines, [row["config"] for row in rows], fontsize=7)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("V100 GPU-days, predicted from counted FLOPs")
    ax.legend(fontsize=8, loc="best", frameon=False)
    return figure
