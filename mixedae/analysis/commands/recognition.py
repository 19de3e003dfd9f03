"""analyze.py recognition: Fig. 6 a (by layer) and b (by epoch)."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from rich.console import Console

from mixedae.analysis.checkpoints import Entry, grouped, load_pretraining, parse_entries, parse_runs
from mixedae.analysis.figures import in_house_style, new_figure, save, style_of, write_data
from mixedae.analysis.intervals import Numbers
from mixedae.analysis.measures.recognition import epoch_checkpoints, logged, recognition
from mixedae.analysis.pictures import read_pictures
from mixedae.errors import ConfigError


def run(args: argparse.Namespace, console: Console) -> list[Path]:
    """Measure checkpoints by layer and runs by epoch on the same held-out pictures; write recognition.png and .json.

    Args:
        args: checkpoints, run, config, data, split, num_images, out.
        console: for the summary.
    """
    if not args.checkpoints and not args.run:
        raise ConfigError("nothing to measure: give checkpoints (Fig. 6 a), --run NAME=DIR (Fig. 6 b), or both")
    runs = parse_runs(args.run)
    entries = parse_entries(args.checkpoints, args.config, also=runs)
    names = {*runs, *grouped(entries)}
    measure = Measure(args)
    chance: dict[float, list[str]] = {}
    layers: dict[str, Numbers] = {}
    for name, seeds in grouped(entries).items():
        values = []
        for entry in seeds:
            accuracy, level = measure(entry)
            values.append(accuracy)
            chance.setdefault(level, []).append(name)
        layers[name] = np.stack(values)
        console.print(f"{name}: " + " ".join(f"{v:.3f}" for v in layers[name].mean(axis=(0, 2))))
    epochs: dict[str, dict[int, Numbers]] = {}
    hooked: dict[str, dict[int, list[float]]] = {}
    for name, folder in runs.items():
        epochs[name] = {}
        for epoch, file in epoch_checkpoints(folder).items():
            (entry,) = parse_entries([f"{name}={file}"], args.config, also=names)
            epochs[name][epoch], level = measure(entry)
            chance.setdefault(level, []).append(name)
        hooked[name] = logged(folder)
    if len(chance) > 1:
        raise ConfigError(f"{chance}: models of one figure need one group size and one number of patches")
    (level,) = chance
    content = {
        "chance": level,
        "num_images": measure.count,
        "by_layer": {
            name: {
                "checkpoints": [str(entry.path) for entry in grouped(entries)[name]],
                "accuracy": values.tolist(),  # checkpoint, layer, head
                "mean": values.mean(axis=(0, 2)).tolist(),
                "std_over_heads": values.std(axis=2, ddof=min(1, values.shape[2] - 1)).mean(axis=0).tolist(),
            }
            for name, values in layers.items()
        },
        "by_epoch": {
            name: {
                "checkpoints": {epoch: values.mean(axis=1).tolist() for epoch, values in of.items()},
                "logged_while_training": hooked[name],
            }
            for name, of in epochs.items()
        },
    }
    console.print(f"chance: {level:.3f}; {measure.count} held-out images")
    figure = draw(content)
    return [
        save(figure, args.out / "recognition.png"),
        write_data(args.out / "recognition.json", "recognition", content),
    ]


class Measure:
    """Loads one checkpoint after another and measures it on the same pictures, read at the first model's size."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.count = args, 0
        self._pictures: dict[int, Any] = {}

    def __call__(self, entry: Entry) -> tuple[Numbers, float]:
        """The accuracy of each layer and head, and chance."""
        loaded = load_pretraining(entry)
        size = loaded.model.backbone.patch_embed.init_input_size[0]
        if size not in self._pictures:
            args = self.args
            self._pictures[size] = read_pictures(args.data, size, args.num_images, args.split).pixels
        images = loaded.normalise(self._pictures[size])
        try:
            accuracy, chance = recognition(loaded.model, images)
        except ConfigError as error:
            raise ConfigError(f"{entry.name}: {error}") from None
        self.count = len(images) // loaded.model.group_size * loaded.model.group_size
        return accuracy, round(chance, 9)


@in_house_style
def draw(content: dict[str, Any]) -> Any:
    """Draw the panels of Fig. 6 that there are data for.

    Args:
        content: of recognition.json.
    """
    panels = [name for name in ("by_layer", "by_epoch") if content[name]]
    styles = {name: style_of(i) for i, name in enumerate(dict.fromkeys([*content["by_layer"], *content["by_epoch"]]))}
    figure, axes = new_figure(3.2 * len(panels) + 1.4, 2.8, 1, len(panels), sharey=True)
    for ax, panel in zip(axes[0], panels, strict=True):
        for name, data in content[panel].items():
            style = styles[name]
            if panel == "by_layer":
                mean, std = (100 * np.array(data[key]) for key in ("mean", "std_over_heads"))
                layers = np.arange(1, len(mean) + 1)
                ax.fill_between(layers, mean - std, mean + std, color=style["color"], alpha=0.15, lw=0)
                ax.plot(layers, mean, label=name, **style)
            else:
                of = data["checkpoints"]
                ax.plot(list(of), [100 * row[-1] for row in of.values()], label=name, **style)
                if data["logged_while_training"]:
                    of = data["logged_while_training"]
                    last = [100 * row[-1] for row in of.values()]
                    ax.plot(list(of), last, color=style["color"], lw=0.8, label=f"{name}, logged")
        ax.axhline(100 * content["chance"], color="#777777", linestyle=":", linewidth=1.2, label="chance")
        ax.set_title("By layer (band: ± 1 SD over heads)" if panel == "by_layer" else "Last layer, by epoch")
        ax.set_xlabel("Layer" if panel == "by_layer" else "Pre-training epoch")
        ax.set_ylim(0, 103)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("TopK sampling accuracy (%)")
    entries = {text: line for ax in axes[0] for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    entries["chance"] = entries.pop("chance")  # last
    figure.legend(entries.values(), entries, loc="outside right center", fontsize=8, frameon=False)
    return figure
