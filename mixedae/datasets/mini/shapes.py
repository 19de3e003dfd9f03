"""Outlines, textures and painting of the mini benchmark, in integers only: the same pixels on every machine.

Fixed point throughout: pixel positions in 1/256 px (``Q8``), positions inside an object in 1/4096 of its radius
(``Q12``), sines and cosines in 1/16384 (``Q14``). ``//`` and ``>>`` round towards minus infinity in Python and numpy
alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TURN = 256  # angles are counted in 1/256 of a turn
TILT = 24  # things stand upright to within 34 degrees


class Draw:
    """Random integers that are the same on every machine and with every numpy.

    Only the raw stream of PCG64 is used, which numpy promises never to change; ``Generator.integers`` may change.

    Args:
        key: non-negative integers; every key has its own stream, so that a picture depends on no other picture.
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def array(self, low: int, high: int, shape: int | tuple[int, ...]) -> Ints:
        """Uniform integers in ``low .. high - 1``, int64 of the given shape."""
        raw = self._bits.random_raw(int(np.prod(shape))).reshape(shape) >> np.uint64(32)
        return (raw * np.uint64(high - low) >> np.uint64(32)).astype(np.int64) + low

    def one(self, low: int, high: int) -> int:
        """One uniform integer in ``low .. high - 1``."""
        return ((self._bits.random_raw() >> 32) * (high - low) >> 32) + low

    def chance(self, percent: int) -> bool:
        """True with a probability of ``percent`` %."""
        return self.one(0, 100) < percent


def _directions() -> list[tuple[int, int]]:
    """(cos, sin) of every angle in Q14, by turning (1, 0) again and again by 1/256 of a turn in Python integers."""
    cos, sin = 1073418433, 26350943  # of 2 pi / 256, in units of 2**-30
    x, y, table = 1 << 30, 0, []
    for _ in range(TURN):
        table.append(((x + (1 << 15)) >> 16, (y + (1 << 15)) >> 16))
        x, y = (x * cos - y * sin + (1 << 29)) >> 30, (x * sin + y * cos + (1 << 29)) >> 30
    return table


DIRECTIONS = _directions()


def rotate(x: Ints, y: Ints, angle: int) -> tuple[Ints, Ints]:
    """Turn positions by ``angle`` (1/256 turns)."""
    cos, sin = DIRECTIONS[angle % TURN]
    return (x * cos + y * sin) >> 14, (y * cos - x * sin) >> 14


def _polygon_sides(x: Ints, y: Ints, sides: int, inradius: int) -> Ints:
    """Number of sides of a regular polygon that a position lies beyond: 0 inside, 1 in the points of its star."""
    outside = np.zeros_like(x)
    for k in range(sides):
        cos, sin = DIRECTIONS[(TURN * k) // sides]
        outside += (x * cos + y * sin) >> 14 > inradius
    return outside


def _disc(x: Ints, y: Ints, centre: int, radius: int) -> Bools:
    return (x - centre) ** 2 + y * y <= radius * radius


def _bar(x: Ints, y: Ints, half_length: int, half_width: int) -> Bools:
    return (np.abs(x) <= half_length) & (np.abs(y) <= half_width)


# Where an object is, from positions in Q12 (an object reaches to about 4096). The first five make
# classes, the others distractors only.
OUTLINES: dict[str, Callable[[Ints, Ints], Bools]] = {
    "disc": lambda x, y: _disc(x, y, 0, 3600),
    "triangle": lambda x, y: _polygon_sides(x, y, 3, 2250) == 0,
    "cross": lambda x, y: _bar(x, y, 4000, 1450) | _bar(y, x, 4000, 1450),
    "star": lambda x, y: _polygon_sides(x, y, 5, 1500) <= 1,
    "crescent": lambda x, y: _disc(x, y, 0, 4096) & ~_disc(x, y, 2300, 3000),
    "bar": lambda x, y: _bar(x, y, 4096, 1300),
    "square": lambda x, y: _bar(x, y, 3000, 3000),
    "half": lambda x, y: _disc(x, y, 0, 4096) & (x <= 0),
    "ring": lambda x, y: _disc(x, y, 0, 4096) & ~_disc(x, y, 0, 2200),
}
REACH = 5000  # no outline reaches further than this, in Q12


def _stripes(u: Ints, v: Ints, half: int) -> Bools:
    return (u // half) % 2 == 0


def _checks(u: Ints, v: Ints, half: int) -> Bools:
    return (u // half + v // half) % 2 == 0


def _dots(u: Ints, v: Ints, half: int) -> Bools:
    row = v // (2 * half)
    du, dv = (u + row % 2 * half) % (2 * half) - half, v % (2 * half) - half
    return 16 * (du * du + dv * dv) <= 9 * half * half


def _rings(u: Ints, v: Ints, half: int) -> Bools:
    edges = (np.arange(1, 64, dtype=np.int64) * half) ** 2
    return np.searchsorted(edges, u * u + v * v) % 2 == 0


def _zigzag(u: Ints, v: Ints, half: int) -> Bools:
    wave = np.abs(v % (4 * half) - 2 * half)
    return ((u + wave) // half) % 2 == 0


# Which of its two colours a position gets, from positions in Q8 and half a period in Q8. "plain" is for
# distractors only.
TEXTURES: dict[str, Callable[[Ints, Ints, int], Bools]] = {
    "striped": _stripes,
    "checked": _checks,
    "dotted": _dots,
    "ringed": _rings,
    "zigzag": _zigzag,
    "plain": lambda u, v, half: np.ones(u.shape, dtype=bool),
}


@dataclass(frozen=True)
class Thing:
    """One object or distractor: an outline filled with a texture in two colours, under a light from one side.

    Positions and lengths are in Q8, angles in 1/256 turns, ``squeeze`` (the short axis) in 1/256 of the radius, colours
    0..255.
    """

    outline: str
    texture: str
    x: int
    y: int
    radius: int
    angle: int
    squeeze: int
    half_period: int
    texture_angle: int
    phase: tuple[int, int]
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    light: int


def random_colours(draw: Draw, contrast: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Two random RGB colours, a darker and a brighter one in random order, at least ``contrast`` apart in brightness.

    Every class draws from the same colours. They are as muted as in photographs: a brightness plus a tint of up to 45
    per channel.
    """
    dark = draw.one(32, 224 - contrast)
    levels = [dark, draw.one(dark + contrast, 225)]
    if draw.chance(50):
        levels.reverse()
    first, second = (draw.array(-45, 46, (2, 3)) + np.array(levels)[:, None]).clip(0, 255).tolist()
    return tuple(first), tuple(second)


def random_thing(draw: Draw, outline: str, texture: str, x: int, y: int, radius: int) -> Thing:
    """A thing of a given outline, texture, place and size (Q8); everything else is drawn."""
    half_period = draw.one(640, 1152) if radius >= 12 * 256 else draw.one(448, 704)
    # Rings are roughly centred on the object; the other textures start anywhere.
    shift = half_period if texture == "ringed" else 64 * 256
    return Thing(
        outline=outline,
        texture=texture,
        x=x,
        y=y,
        radius=radius,
        angle=draw.one(-TILT, TILT + 1),
        squeeze=draw.one(180, 257),
        half_period=half_period,
        texture_angle=draw.one(-TILT, TILT + 1),
        phase=(draw.one(-shift, shift), draw.one(-shift, shift)),
        colours=random_colours(draw, contrast=80),
        light=draw.one(0, 80),
    )


def window(thing: Thing, size: int) -> tuple[slice, slice]:
    """The rows and columns of a ``size`` x ``size`` picture that the thing can reach."""
    reach = thing.radius * REACH // 4096 + 256
    return tuple(  # type: ignore[return-value]
        slice(max(0, (at - reach) >> 8), min(size, ((at + reach) >> 8) + 1)) for at in (thing.y, thing.x)
    )


def render(thing: Thing, size: int) -> tuple[Bools, Ints]:
    """Paint the thing alone.

    Returns:
        mask: bool (size, size), the pixels whose centre lies inside the outline.
        colours: int64 (n, 3), the colours of the n pixels of the mask, in row-major order.
    """
    rows, columns = window(thing, size)
    dy = (np.arange(rows.start, rows.stop, dtype=np.int64) * 256 + 128 - thing.y)[:, None]
    dx = (np.arange(columns.start, columns.stop, dtype=np.int64) * 256 + 128 - thing.x)[None, :]
    x, y = rotate(dx, dy, thing.angle)
    inside = OUTLINES[thing.outline](x * 4096 // thing.radius, y * 4096 * 256 // (thing.radius * thing.squeeze))
    mask = np.zeros((size, size), dtype=bool)
    mask[rows, columns] = inside

    u, v = rotate(dx, dy, thing.texture_angle)
    u, v = u[inside], v[inside]
    first = TEXTURES[thing.texture](u + thing.phase[0], v + thing.phase[1], thing.half_period)
    palette = np.array(thing.colours, dtype=np.int64)
    shade = 256 + u * thing.light // thing.radius
    return mask, palette[np.where(first, 0, 1)] * shade[:, None] >> 8
