#!/usr/bin/env python
"""Look into a ViT checkpoint, or give it another library's names.

These are recognised by their keys: models and backbones of this project and of mmpretrain, MAE, timm, DINO, iBOT,
MoCo v3, BEiT, DeiT and Hugging Face (docs/transfer.md lists them); as .pth or .safetensors. Weights are read as data:
nothing in a file is executed.

python tools/checkpoint.py inspect mae_pretrain_vit_base.pth
python tools/checkpoint.py convert mae_pretrain_vit_base.pth mae_backbone.pth
python tools/checkpoint.py export work_dirs/NAME/epoch_300.pth mixedae.safetensors --to timm
python tools/checkpoint.py export work_dirs/NAME/epoch_300.pth FOLDER --to hf
python tools/checkpoint.py features mae_pretrain_vit_base.pth PICTURES features.npz
"""

import argparse
import sys
from pathlib import Path

from mixedae.errors import DataError, MixedAEError, one_line_errors

TARGETS = ("timm", "mmpretrain", "hf", "hf-mae", "onnx", "torch-export")  # mixedae.analysis.exporting's


def parse_args() -> argparse.Namespace:
    """The command line; no library is loaded for ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="print format, size, groups of tensors and fingerprint")
    inspect.add_argument("checkpoint", type=Path)
    for name, help_text in (
        ("convert", "write the ViT under mmpretrain's names below `backbone.`, as in this project's models"),
        ("export", "write the ViT for another library"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("checkpoint", type=Path, help="source")
        command.add_argument("out", type=Path, help="to write: .pth, .safetensors, .onnx or .pt2; or a new folder")
        if name == "export":
            command.add_argument("--to", required=True, choices=TARGETS, help="mmpretrain: a bare ViT; hf, hf-mae: "
                                 "a folder for transformers, the encoder or a whole MAE; timm: a folder, or a file "
                                 "with a suffix; onnx, torch-export: a graph")  # fmt: skip
            command.add_argument("--heads", type=int, help="number of heads (default: the file's, or the usual one)")
            command.add_argument("--backbone-only", action="store_true", help="leave a classifier out")
    for command in list(commands.choices.values()):
        command.add_argument("--part", default="", help="of several sets of weights: teacher, student, ema, or a key")
        command.add_argument("--ema", action="store_const", const="ema", dest="part", help="the averaged weights")
        command.add_argument("--prefix", default="backbone.", help="where a whole model keeps its ViT (backbone.)")
    features = commands.add_parser("features", help="write the features of all pictures in a folder")
    features.add_argument("checkpoint", help="any ViT that loads")
    features.add_argument("pictures", type=Path, help="a folder, a list (.txt) or one picture")
    features.add_argument("out", type=Path, help="file to write, .npz or .safetensors: `features` and `images`")
    features.add_argument(
        "--pool",
        choices=["mean", "cls", "both", "tokens"],
        default="mean",
        help="mean patch (default), [CLS], both, or all patches",
    )
    features.add_argument("--size", type=int, help="side of the centre crop in pixels (default: the checkpoint's)")
    features.add_argument("--config", type=Path, help="of the run (default: the one in the run's folder); it is code")
    features.add_argument("--batch-size", type=int, default=32, help="pictures at a time (32)")
    return parser.parse_args()


def run_inspect(args: argparse.Namespace) -> None:
    """Print what a checkpoint holds."""
    from collections import defaultdict

    import torch
    from rich.console import Console
    from rich.table import Table

    from mixedae.weights import anatomy_of, check_whole, convert, outline, read_weights

    weights = read_weights(args.checkpoint, part=args.part)
    tensors = weights.tensors
    found = convert(tensors, "mmpretrain-backbone", args.prefix)
    print(f"{args.checkpoint}: {found.format}{weights.note}; ViT of {outline(found.backbone)}")
    groups: defaultdict[tuple[str, str], list[torch.Tensor]] = defaultdict(list)
    for name, tensor in tensors.items():
        groups[
            "backbone" if name in found.names else "not backbone", name.removeprefix(args.prefix).split(".")[0]
        ].append(tensor)
    table = Table("part", "name", "tensors", "numbers", "types", "not finite")
    for (part, name), members in groups.items():
        types = ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in members}))
        bad = sum(int((~torch.isfinite(t)).sum()) for t in members if t.is_floating_point())
        table.add_row(part, name, str(len(members)), f"{sum(t.numel() for t in members):,}", types, str(bad))
    Console().print(table)
    try:
        this = anatomy_of(found.backbone, found.format, weights.facts, path=args.checkpoint)
        check_whole(found.backbone, this, args.checkpoint)
        print(f"as a backbone: {dict(type='mixedae.MixedAEViT', **this.options())}")
        if this.assumed:
            print(f"assumed: {this.assumed}")
    except MixedAEError as error:
        print(f"as a backbone: not known ({error})")
    print(f"backbone's fingerprint {found.fingerprint}")


def run_convert(args: argparse.Namespace) -> None:
    """Write a checkpoint under this project's names."""
    from mixedae.weights import convert, read_state_dict, write_state_dict

    conversion = convert(read_state_dict(args.checkpoint, part=args.part), "mmpretrain", args.prefix)
    write_state_dict(args.out, conversion.tensors)
    print(f"{args.out}: {conversion}")


def run_export(args: argparse.Namespace) -> None:
    """Write a checkpoint for another library."""
    from mixedae.analysis.exporting import export

    print(export(args.checkpoint, args.out, args.to, args.part, args.prefix, args.heads, args.backbone_only))


def run_features(args: argparse.Namespace) -> None:
    """Write the features of a folder."""
    if not args.pictures.exists():
        raise DataError(f"{args.pictures} does not exist; expected a folder, a list (.txt) or one picture")
    from mixedae.analysis.features import write_features

    done = write_features(args.checkpoint, args.pictures, args.out, args.pool, args.size, args.batch_size, args.config)
    how = f"{len(done.images) / done.seconds:.1f} pictures/s" if done.seconds else "from the cache"
    shape = " x ".join(map(str, done.features.shape))
    print(f"{args.out}: {shape} ({args.pool}, float32), {how}")


@one_line_errors
def main() -> int:
    """Run the command; an error of this project is one line on standard error and exit code 1."""
    args = parse_args()
    {"inspect": run_inspect, "convert": run_convert, "export": run_export, "features": run_features}[args.command](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
