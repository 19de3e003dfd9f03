"""Turn masks in colours into the masks that mm_configs/own/segmentation.py reads.

A colour mask shows each class in one RGB colour. The result has one channel: a pixel's value is the line of its colour
in the list, from 0; colours that are not in the list become 255, which is ignored. Keep it PNG: JPEG changes values.

    python examples/rgb_masks.py coloured/train masks/train --colours colours.txt

Lines of the list: ``R G B NAME``, such as ``128 64 128 road``. ``classes.txt`` is written into the output's folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

IGNORED = 255


def read_colours(path: Path) -> dict[tuple[int, int, int], tuple[int, str]]:
    """Colour to value and name, from lines ``R G B NAME``."""
    found: dict[tuple[int, int, int], tuple[int, str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split(maxsplit=3)
        if len(parts) < 4 or not all(part.isdigit() and int(part) < 256 for part in parts[:3]):
            sys.exit(f"{path}, line {number}: {line!r} found; expected R G B NAME, such as: 128 64 128 road")
        colour = (int(parts[0]), int(parts[1]), int(parts[2]))
        if colour in found:
            sys.exit(f"{path}, line {number}: the colour {colour} stands there twice")
        found[colour] = (len(found), parts[3])
    if not 2 <= len(found) <= IGNORED:
        sys.exit(f"{path}: {len(found)} colours found; expected 2 to {IGNORED}")
    return found


def convert(mask: np.ndarray, colours: dict[tuple[int, int, int], tuple[int, str]]) -> np.ndarray:
    """Values uint8 (H, W) of a colour mask uint8 (H, W, 3)."""
    packed = mask.astype(np.int32) @ np.array([65536, 256, 1])
    values = np.full(packed.shape, IGNORED, dtype=np.uint8)
    for (red, green, blue), (value, _) in colours.items():
        values[packed == red * 65536 + green * 256 + blue] = value
    return values


def main() -> None:
    """Convert a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("masks", type=Path, help="folder of colour masks")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--colours", type=Path, required=True, help="lines R G B NAME")
    args = parser.parse_args()
    colours = read_colours(args.colours)
    files = sorted(path for path in args.masks.iterdir() if path.suffix.lower() in (".png", ".bmp", ".tif", ".tiff"))
    if not files:
        sys.exit(f"{args.masks}: no masks found (.png, .bmp, .tif)")
    args.out.mkdir(parents=True, exist_ok=True)
    unknown = 0.0
    for path in files:
        values = convert(np.asarray(Image.open(path).convert("RGB")), colours)
        unknown += float((values == IGNORED).mean())
        Image.fromarray(values).save(args.out / f"{path.stem}.png")
    lines = "".join(f"{value} {name}\n" for value, name in colours.values())
    (args.out / "classes.txt").write_text(lines, encoding="utf-8")
    share = 100 * unknown / len(files)
    print(f"{len(files)} masks, {len(colours)} classes, {share:.2f} % of the pixels in other colours")


if __name__ == "__main__":
    main()
