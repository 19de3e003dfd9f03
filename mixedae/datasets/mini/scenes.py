"""Pictures of the mini benchmark: one centred object, or several that overlap, on a cluttered background.

A class is an outline *and* a texture. Five outlines and five textures stand in a ring, and every neighbouring pair is a
class. So the outline alone, or the texture alone, leaves two classes possible. Colours, sizes, angles, aspect and light
say nothing about the class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedae.datasets.mini.shapes import (
    OUTLINES,
    TEXTURES,
    TURN,
    Bools,
    Draw,
    Ints,
    Thing,
    random_colours,
    random_thing,
    render,
    rotate,
)

CLASS_OUTLINES = ("disc", "triangle", "cross", "star", "crescent")
CLASS_TEXTURES = ("striped", "checked", "dotted", "ringed", "zigzag")
PARTS = tuple((CLASS_OUTLINES[k // 2], CLASS_TEXTURES[(k + 1) // 2 % 5]) for k in range(10))
CLASSES = tuple(f"{texture}_{outline}" for outline, texture in PARTS)

PICTURE_SIZE = 64
SCENE_SIZE = 128
MIN_VISIBLE_PIXELS = 24
MIN_VISIBLE_PERCENT = 25
UNLABELLED, BACKGROUND = 0, 1  # values of the semantic mask; class k has k + 2


@dataclass(frozen=True)
class Scene:
    """A picture of several objects, with the truth about it.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        semantic: uint8 (H, W), 0 = distractor (unlabelled), 1 = background, 2..11 = class 0..9.
        labels: the class 0..9 of every object, from back to front.
        masks: bool (n, H, W), the visible part of every object.
    """

    pixels: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    labels: tuple[int, ...]
    masks: Bools


def value_noise(draw: Draw, size: int, cells: int) -> Ints:
    """Smooth noise 0..255, (size, size): random values on a grid of ``cells`` cells per side, smoothly interpolated."""
    grid = draw.array(0, 256, (cells + 1, cells + 1))
    at = np.arange(size, dtype=np.int64) * cells * 256 // size
    cell, part = at >> 8, at & 255
    part = part * part * (768 - 2 * part) >> 16
    rows = grid[cell] * (256 - part)[:, None] + grid[cell + 1] * part[:, None] >> 8
    return rows[:, cell] * (256 - part) + rows[:, cell + 1] * part >> 8


def _shift(draw: Draw) -> Ints:
    """A change of light: brighter or darker by up to 40, with a tint of up to 16 per channel."""
    return draw.one(-40, 41) + draw.array(-16, 17, 3)


def background(draw: Draw, size: int) -> Ints:
    """A backdrop (size, size, 3): noise at three scales between two colours, a blob, an edge where light changes."""
    unit = size // 32
    noise = 4 * value_noise(draw, size, unit) + 2 * value_noise(draw, size, 3 * unit)
    noise += value_noise(draw, size, 8 * unit)
    first, second = (np.array(colour, dtype=np.int64) for colour in random_colours(draw, contrast=16))
    canvas = first + (second - first) * (noise // 7)[:, :, None] // 384
    for _ in range(draw.one(0, 2)):
        blobs = sum(value_noise(draw, size, cells * unit) for cells in (2, 3, 5))
        canvas[blobs > draw.one(400, 520)] += _shift(draw)
    grid = np.arange(size, dtype=np.int64)
    for _ in range(draw.one(0, 2)):
        across, _ = rotate(grid[None, :] - draw.one(0, size), grid[:, None] - draw.one(0, size), draw.one(0, TURN))
        canvas[across > 0] += _shift(draw)
    return canvas


def random_distractor(draw: Draw, x: int, y: int, radius: int, textured: int) -> Thing:
    """An object that belongs to no class.

    In ``textured`` % of the cases its outline is none of the classes' and its texture is any; otherwise its outline is
    one of the classes' and it has no texture.
    """
    if draw.chance(textured):
        outline = sorted(set(OUTLINES) - set(CLASS_OUTLINES))[draw.one(0, len(OUTLINES) - 5)]
        texture = list(TEXTURES)[draw.one(0, len(TEXTURES))]
    else:
        outline, texture = CLASS_OUTLINES[draw.one(0, 5)], "plain"
    return random_thing(draw, outline, texture, x, y, radius)


def develop(draw: Draw, canvas: Ints) -> NDArray[np.uint8]:
    """The finished photograph (H, W, 3) uint8: edges softened by a [1 6 1] / 8 filter, plus sensor noise."""
    soft = np.pad(np.clip(canvas, 0, 255), ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = (soft[:-2] + 6 * soft[1:-1] + soft[2:] + 4) >> 3
    soft = (soft[:, :-2] + 6 * soft[:, 1:-1] + soft[:, 2:] + 4) >> 3
    return np.clip(soft + draw.array(-6, 7, soft.shape), 0, 255).astype(np.uint8)


def picture(draw: Draw, label: int) -> NDArray[np.uint8]:
    """One centred object of class ``label`` among clutter, the premise of section 3.4: uint8 (64, 64, 3)."""
    size = PICTURE_SIZE
    canvas = background(draw, size)
    things = [
        random_distractor(draw, draw.one(0, size * 256), draw.one(0, size * 256), draw.one(5 * 256, 10 * 256), 0)
        for _ in range(draw.one(0, 3))
    ]
    x, y = (size * 128 + draw.one(-6 * 256, 6 * 256) for _ in range(2))
    things.append(random_thing(draw, *PARTS[label], x, y, draw.one(19 * 256, 28 * 256)))
    for thing in things:
        mask, colours = render(thing, size)
        canvas[mask] = colours
    return develop(draw, canvas)


def _place(draw: Draw, taken: list[tuple[int, int]], margin: int) -> tuple[int, int]:
    """A place in the scene (Q8): three are drawn, and the one furthest from the taken places wins.

    So few objects are hidden completely by others.
    """
    best, best_distance = (0, 0), -1
    for _ in range(3):
        x, y = (draw.one(margin, SCENE_SIZE * 256 - margin) for _ in range(2))
        distance = min(((x - a) ** 2 + (y - b) ** 2 for a, b in taken), default=0)
        if distance > best_distance:
            best, best_distance = (x, y), distance
    return best


def _visible(masks: list[Bools]) -> list[Bools]:
    """The part of each mask that no later one covers."""
    free = np.ones_like(masks[0])
    visible = []
    for mask in reversed(masks):
        visible.append(mask & free)
        free &= ~mask
    return visible[::-1]


def scene(draw: Draw, label: int) -> Scene:
    """Two to six objects, the first of class ``label``, and distractors, back to front in random order.

    An object of which fewer than 24 pixels or less than a quarter can be seen is removed before painting, so that
    picture, semantic mask and instance masks agree. A scene that loses its first object, or all but one, is drawn
    again.
    """
    while True:
        labels = [label, *(draw.one(0, len(CLASSES)) for _ in range(draw.one(1, 6)))]
        canvas = background(draw, SCENE_SIZE)
        taken: list[tuple[int, int]] = []
        # depth, number of the object (-1: distractor), label, mask, colours
        layers: list[tuple[int, int, int, Bools, Ints]] = []
        for number, one in enumerate([*labels, *[-1] * draw.one(1, 5)]):
            radius = draw.one(14 * 256, 30 * 256) if one >= 0 else draw.one(6 * 256, 14 * 256)
            place = _place(draw, taken, margin=10 * 256)
            taken.append(place)
            if one >= 0:
                thing = random_thing(draw, *PARTS[one], *place, radius)
            else:
                thing = random_distractor(draw, *place, radius, 65)
            layers.append((draw.one(0, 1 << 30), number, one, *render(thing, SCENE_SIZE)))
        layers.sort(key=lambda layer: layer[:2])

        while True:
            visible = _visible([layer[3] for layer in layers])
            seen = [int(part.sum()) for part in visible]
            hidden = [
                (count, i)
                for i, (count, layer) in enumerate(zip(seen, layers, strict=True))
                if layer[2] >= 0
                and (count < MIN_VISIBLE_PIXELS or 100 * count < MIN_VISIBLE_PERCENT * int(layer[3].sum()))
            ]
            if not hidden:
                break
            del layers[min(hidden)[1]]
        kept = [i for i, layer in enumerate(layers) if layer[2] >= 0]
        if len(kept) < 2 or all(layers[i][1] != 0 for i in kept):
            continue

        semantic = np.full((SCENE_SIZE, SCENE_SIZE), BACKGROUND, dtype=np.uint8)
        for _, _, one, mask, colours in layers:
            canvas[mask] = colours
            semantic[mask] = one + 2 if one >= 0 else UNLABELLED
        return Scene(
            pixels=develop(draw, canvas),
            semantic=semantic,
            labels=tuple(layers[i][2] for i in kept),
            masks=np.stack([visible[i] for i in kept]),
        )
