"""Furniture: tables, chairs, beds, sofas, shelves, cupboards, lamps, plants, boxes, in random sizes.

A piece stands on z = 0 around the origin, with its back at negative y; its front looks along y. All lengths are metres.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deep3dmap.datasets.rooms.looks import Looks
from deep3dmap.datasets.rooms.surfaces import Material, Surface, blob, box, patch, rectangle, steps, turned

Random = np.random.Generator
DARK, METAL, WHITE = (0.10, 0.10, 0.12), (0.6, 0.6, 0.62), (0.85, 0.85, 0.83)
CARDBOARD, LEAF = (0.65, 0.5, 0.35), (0.25, 0.42, 0.18)
INCH = 0.0254


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of furniture.

    Attributes:
        size: along x, y, z.
        parts: its surface.
        lamps: positions and powers of its lamps.
    """

    size: tuple[float, float, float]
    parts: Sequence[Surface]
    lamps: Sequence[tuple[tuple[float, float, float], float]] = field(default_factory=tuple)


def _legs(w: float, d: float, h: float, thick: float, material: Material) -> list[Surface]:
    """Four legs below the corners of a w x d plate."""
    x, y = w / 2 - thick, d / 2 - thick
    return [part for sx in (-x, x) for sy in (-y, y) for part in box((thick, thick, h), (sx, sy, 0), material, True)]


def table(looks: Looks, random: Random, height: float | None = None) -> Piece:
    """A rectangular or a round one."""
    w, d, h = random.uniform(0.9, 1.8), random.uniform(0.7, 0.95), height or random.uniform(0.70, 0.78)
    top = looks.pick("wood", random)
    if random.random() < 0.35:
        r = random.uniform(0.45, 0.6)
        profile = [(0, h), (r, h), (r, h - 0.03), (0.04, h - 0.031), (0.04, 0.05), (0.25, 0.02), (0.25, 0.0)]
        return Piece((2 * r, 2 * r, h), [turned(profile, (0, 0, 0), top, 20), *_things(looks, random, r, r, h)])
    legs = _legs(w, d, h - 0.04, random.uniform(0.04, 0.08), top if random.random() < 0.6 else looks.tinted(METAL))
    return Piece((w, d, h), [*box((w, d, 0.04), (0, 0, h - 0.04), top), *legs, *_things(looks, random, w, d, h)])


def low_table(looks: Looks, random: Random) -> Piece:
    """A table before a sofa."""
    return table(looks, random, random.uniform(0.35, 0.5))


def _things(looks: Looks, random: Random, w: float, d: float, h: float) -> list[Surface]:
    """Up to four small things on a plate w x d at a height."""
    parts, count = [], int(random.integers(0, 5))
    for k in range(count):
        x = (k + 0.5) / count * w * 0.8 - 0.4 * w + random.uniform(-0.03, 0.03)
        parts += _thing(looks, random, (x, random.uniform(-0.25, 0.25) * d, h), min(d, 0.3) * 0.6)
    return parts


def _thing(looks: Looks, random: Random, at: tuple[float, float, float], reach: float) -> list[Surface]:
    """A vase, a bowl, a ball, a pile of books, a box, at most ``reach`` wide."""
    kind, r, dye = random.integers(5), random.uniform(0.25, 0.5) * reach, looks.dyed(random)
    if kind == 0:
        h = random.uniform(0.12, 0.35)
        return [turned([(0.0, 0.9 * h), (0.45 * r, h), (0.4 * r, 0.85 * h), (r, 0.4 * h), (0.5 * r, 0.0)], at, dye, 12)]
    if kind == 1:
        return [turned([(0, 0.02), (0.5 * r, 0.025), (0.95 * r, 0.08), (r, 0.08), (0.5 * r, 0.0)], at, dye, 12)]
    if kind == 2:
        return [blob((2 * r, 2 * r, 2 * r), (at[0], at[1], at[2] + r), dye)]
    count, high = (1, random.uniform(0.08, 0.25)) if kind == 3 else (int(random.integers(1, 5)), 0.03)
    sizes = [(random.uniform(1.2, 2) * r, random.uniform(1.1, 1.5) * r, high) for _ in range(count)]
    parts, z = [], at[2]
    for size in sizes:
        parts += box(size, (at[0], at[1], z), looks.dyed(random))
        z += size[2]
    return parts


def chair(looks: Looks, random: Random) -> Piece:
    """A chair with a back of slats or a plate."""
    w, d, seat, h = random.uniform(0.40, 0.48), random.uniform(0.40, 0.50), random.uniform(0.43,
                                                                                           0.48), random.uniform(0.8, 1.0)
    frame = looks.pick("wood", random) if random.random() < 0.7 else looks.dyed(random)
    cover = looks.pick("cloth", random) if random.random() < 0.5 else frame
    parts = [*_legs(w, d, seat, 0.035, frame), *box((w, d, 0.04), (0, 0, seat), cover)]
    if random.random() < 0.5:
        parts += box((w, 0.03, 0.6 * (h - seat)), (0, 0.015 - d / 2, h - 0.6 * (h - seat)), cover)
        slats = (-w / 2 + 0.02, w / 2 - 0.02)
    else:
        parts += box((w, 0.03, 0.07), (0, 0.015 - d / 2, h - 0.07), frame)
        slats = np.linspace(-w / 2 + 0.02, w / 2 - 0.02, 5)
    for x in slats:
        parts += box((0.03, 0.025, h - seat - 0.08), (x, 0.0125 - d / 2, seat + 0.04), frame)
    return Piece((w, d, h), parts)


def office_chair(looks: Looks, random: Random) -> Piece:
    """A chair on one leg with five feet."""
    cover, metal, seat = looks.pick("cloth", random), looks.tinted(DARK), random.uniform(0.44, 0.52)
    parts = [blob((0.5, 0.5, 0.1), (0, 0, seat), cover, 0.5), blob((0.46, 0.09, 0.55), (0, -0.22, seat + 0.38), cover, 0.5),
             turned([(0.03, seat), (0.03, 0.1), (0.05, 0.05)], (0, 0, 0), metal, 8)]  # yapf: disable
    for k in range(5):
        for part in box((0.28, 0.05, 0.06), (0.14, 0, 0.03), metal):
            parts.append(part.placed((0, 0, 0), 2 * np.pi * k / 5))
    return Piece((0.58, 0.58, seat + 0.65), parts)


def sofa(looks: Looks, random: Random, width: float | None = None) -> Piece:
    """A sofa with arms and cushions."""
    w, d, seat, h = width or random.uniform(1.5, 2.3), random.uniform(0.8, 0.95), 0.42, random.uniform(0.75, 0.95)
    cover, seats, arm = looks.pick("cloth", random), max(int(w / 0.7), 1), random.uniform(0.12, 0.2)
    parts = [*box((w, d, 0.26), (0, 0, 0.06), cover), *_legs(w, d, 0.06, 0.05, looks.tinted(DARK))]
    parts += [blob((w, 0.24, h - 0.2), (0, 0.12 - d / 2, 0.2 + (h - 0.2) / 2), cover, 0.3)]
    parts += [blob((arm, d, 0.5), (x, 0, 0.33), cover, 0.3) for x in (arm / 2 - w / 2, w / 2 - arm / 2)]
    inner = (w - 2 * arm) / seats
    for k in range(seats):
        x = (k + 0.5) * inner - seats * inner / 2
        parts.append(blob((inner, d - 0.24, 0.16), (x, 0.12, seat - 0.05), cover, 0.35))
        if random.random() < 0.5:
            pillow = blob((0.4, 0.14, 0.38), (x, 0.33 - d / 2, seat + 0.2), looks.pick("cloth", random), 0.6)
            parts.append(pillow)
    return Piece((w, d, h), parts)


def armchair(looks: Looks, random: Random) -> Piece:
    """A sofa for one."""
    return sofa(looks, random, random.uniform(0.8, 1.0))


def bed(looks: Looks, random: Random) -> Piece:
    """A bed with head, mattress, blanket, pillows."""
    w, d, h = random.choice([0.95, 1.45, 1.7]), 2.08, random.uniform(0.7, 1.15)
    frame, sheet = looks.pick("wood", random), looks.dyed(random, (0.7, 0.9), 0.1)
    parts = [*box((w, d, 0.3), (0, 0, 0), frame, True), *box((w, 0.06, h), (0, 0.03 - d / 2, 0), frame, True)]
    parts += [blob((w - 0.06, d - 0.1, 0.24), (0, 0.03, 0.37), sheet, 0.2)]
    parts += [blob((w + 0.02, d * 0.66, 0.26), (0, d * 0.165, 0.39), looks.pick("cloth", random), 0.25)]
    for x in ([0.0] if w < 1.2 else [-w / 4, w / 4]):
        parts.append(blob((0.6, 0.4, 0.16), (x, 0.33 - d / 2, 0.53), sheet, 0.6))
    return Piece((w, d, h), parts)


def shelf(looks: Looks, random: Random) -> Piece:
    """A bookcase with books and things."""
    w, d, h = random.uniform(0.7, 1.4), random.uniform(0.26, 0.36), random.uniform(1.1, 2.1)
    wood, thick, boards = looks.pick("wood", random), 0.025, int(random.integers(3, 6))
    parts = [part for x in (thick / 2 - w / 2, w / 2 - thick / 2) for part in box((thick, d, h), (x, 0, 0), wood, True)]
    parts.append(rectangle((w / 2, 0.01 - d / 2, 0), (-w, 0, 0), (0, 0, h), wood))
    heights = np.linspace(0.06, h - thick, boards + 1)
    for z in heights:
        parts += box((w - 2 * thick, d, thick), (0, 0, z), wood)
    for low, high in zip(heights[:-1] + thick, heights[1:]):
        parts += _books(looks, random, w - 2 * thick, d, low, high -
                        low) if random.random() < 0.75 else _things_on(looks, random, w - 2 * thick, d, low, high - low)
    return Piece((w, d, h), parts)


def _books(looks: Looks, random: Random, w: float, d: float, z: float, room: float) -> list[Surface]:
    """A row of books, of which only front, sides and tops are there."""
    parts, x, end = [], -w / 2, w / 2 - random.uniform(0, 0.5) * w
    dyes = [looks.dyed(random) for _ in range(6)]
    while x < end - 0.06:
        thick, high, deep = random.uniform(0.02, 0.06), room * random.uniform(0.6, 0.92), d * random.uniform(0.6, 0.85)
        parts += box((thick, deep, high), (x + thick / 2, 0.02 - d / 2 + deep / 2, z), dyes[random.integers(6)], True)
        x += thick + 0.002
    return parts


def _things_on(looks: Looks, random: Random, w: float, d: float, z: float, room: float) -> list[Surface]:
    """Boxes in a shelf."""
    side = min(room * 0.75, d * 0.85)
    spots = np.arange(-w / 2 + side * 0.6, w / 2 - side * 0.5, side * 1.15)
    return [part for x in spots if random.random() < 0.7
            for part in box((side, side, side * random.uniform(0.6, 1)), (x, 0, z), looks.dyed(random), True)]  # yapf: disable


def cupboard(looks: Looks, random: Random, size: Sequence[float] | None = None) -> Piece:
    """A wardrobe: doors with gaps between them, and handles."""
    w, d, h = size or (random.uniform(0.9, 1.9), random.uniform(0.5, 0.65), random.uniform(1.8, 2.2))
    body = looks.pick("wood", random) if random.random() < 0.7 else looks.dyed(random, (0.6, 0.9), 0.12)
    return Piece((w, d, h),
                 [*box((w, d - 0.025, h), (0, -0.0125, 0), body, True), *_fronts(looks, random, body, w, d, 0.06, h)])


def _fronts(looks: Looks, random: Random, material: Material, w: float, d: float, low: float, high: float) -> list[Surface]:
    """Doors or drawers at a cupboard's front, d / 2 before its middle, and handles."""
    columns = max(int(round(w / random.uniform(0.4, 0.6))), 1)
    rows = 1 if high - low > 1 else int(random.integers(1, 4))
    parts, width, height = [], w / columns, (high - low) / rows
    for x in (np.arange(columns) + 0.5) * width - w / 2:
        for z in low + np.arange(rows) * height:
            parts += box((width - 0.012, 0.025, height - 0.012), (x, d / 2 - 0.0125, z), material)
            parts += box((0.12, 0.02, 0.015), (x, d / 2 + 0.01, z + height * (0.8 if rows > 1 else 0.5)), looks.tinted(METAL))
    return parts


def sideboard(looks: Looks, random: Random) -> Piece:
    """A low cupboard with things, or a television, on it."""
    w, d, h = random.uniform(1.0, 1.8), random.uniform(0.38, 0.5), random.uniform(0.5, 0.9)
    base = cupboard(looks, random, (w, d, h))
    if random.random() < 0.5:
        return Piece((w, d, h + 0.6), [*base.parts, *_screen(looks, (0, 0, h), random.uniform(32, 50))])
    return Piece((w, d, h + 0.3), [*base.parts, *_things(looks, random, w, d, h)])


def _screen(looks: Looks, at: tuple[float, float, float], inches: float) -> list[Surface]:
    """A flat screen on a foot, of a diagonal in inches."""
    w, h = 0.87 * inches * INCH, 0.49 * inches * INCH
    dark, (x, y, z) = looks.tinted(DARK), at
    return [*box((0.3, 0.2, 0.015), (x, y, z), dark), *box((0.05, 0.03, 0.1), (x, y - 0.03, z), dark),
            *box((w, 0.04, h), (x, y, z + 0.07), dark)]  # yapf: disable


def desk(looks: Looks, random: Random) -> Piece:
    """A desk with drawers, a screen, a keyboard, a lamp."""
    w, d, h = random.uniform(1.2, 1.7), random.uniform(0.65, 0.8), random.uniform(0.72, 0.76)
    wood = looks.pick("wood", random)
    drawers = cupboard(looks, random, (0.42, d - 0.1, h - 0.04))
    parts = [*box((w, d, 0.03), (0, 0, h - 0.03), wood), *_legs(w, d, h - 0.03, 0.05, looks.tinted(METAL))]
    parts += [part.placed((w / 2 - 0.3, 0, 0)) for part in drawers.parts]
    parts += [part.placed((-0.1, -0.15, h)) for part in _screen(looks, (0, 0, 0), random.uniform(20, 28))]
    parts += box((0.42, 0.14, 0.02), (-0.1, 0.15, h), looks.tinted(DARK))
    lit = random.random() < 0.5
    parts += [part.placed((w / 2 - 0.25, -0.1, h)) for part in _lamp_parts(looks, 0.4, 0.1)] if lit else []
    return Piece((w, d, h + 0.45), parts, [((w / 2 - 0.25, -0.1, h + 0.3), 0.25)] * lit)


def kitchen(looks: Looks, random: Random) -> Piece:
    """A worktop on cupboards, with wall cupboards above."""
    w, d = random.uniform(1.6, 2.6), 0.6
    base = cupboard(looks, random, (w, d, 0.86))
    body = looks.dyed(random, (0.6, 0.9), 0.12)
    parts = [*base.parts, *box((w, d + 0.02, 0.04), (0, 0.01, 0.86), looks.pick("stone", random))]
    parts += [*box((w, 0.32, 0.7), (0, 0.16 - d / 2, 1.42), body)]
    parts += [part.placed((0, 0.16 - d / 2, 0)) for part in _fronts(looks, random, body, w, 0.37, 1.42, 2.12)]
    parts += _things(looks, random, w, d, 0.9)
    return Piece((w, d + 0.04, 2.12), parts)


def _lamp_parts(looks: Looks, height: float, radius: float) -> list[Surface]:
    """A foot, a stand and a glowing shade."""
    foot = turned([(0.012, height), (0.012, 0.03), (radius * 0.8, 0.02), (radius * 0.8, 0)], (0, 0, 0), looks.tinted(METAL),
                  10)
    low, high = height * 0.8 - radius * 0.5, height
    profile = [(0, high), (0.7 * radius, high), (radius, low), (0, low)]
    return [foot, turned(profile, (0, 0, 0), looks.glowing((1.0, 0.92, 0.8), 1.6), 14)]


def floor_lamp(looks: Looks, random: Random) -> Piece:
    """A standing lamp."""
    h, r = random.uniform(1.3, 1.7), random.uniform(0.16, 0.24)
    return Piece((2 * r, 2 * r, h), _lamp_parts(looks, h, r), [((0, 0, 0.88 * h - 0.2 * r), random.uniform(0.4, 0.8))])


def plant(looks: Looks, random: Random) -> Piece:
    """Leaves in a pot."""
    r, h = random.uniform(0.13, 0.2), random.uniform(0.25, 0.4)
    pot = turned([(0, h - 0.04), (0.85 * r, h - 0.04), (0.9 * r, h), (r, h), (0.7 * r, 0)], (0, 0, 0), looks.dyed(random), 14)
    parts, reach, top = [pot], random.uniform(0.2, 0.32), random.uniform(0.4, 1.0)
    for _ in range(random.integers(8, 20)):
        at, angle = random.uniform(0.1, 1), random.uniform(0, 2 * np.pi)
        leaf = blob((reach, 0.1, 0.03 + 0.05 * at), (reach * 0.6, 0, 0),
                    looks.tinted(np.array(LEAF) * random.uniform(0.7, 1.3)))
        parts.append(leaf.placed((0, 0, h + at * top), angle))
    return Piece((2.2 * reach, 2.2 * reach, h + top), [*parts, turned([(0.02, h + top), (0.02, h - 0.05)], (0, 0, 0),
                                                                  looks.tinted(CARDBOARD), 6)])  # yapf: disable


def boxes(looks: Looks, random: Random) -> Piece:
    """Cardboard boxes, one on the other."""
    w, d, z, parts = random.uniform(0.3, 0.6), random.uniform(0.3, 0.5), 0.0, []
    for _ in range(random.integers(1, 4)):
        h = random.uniform(0.15, 0.4)
        size = (w * random.uniform(0.7, 1), d * random.uniform(0.7, 1), h)
        parts += box(size, (0, 0, z), looks.tinted(np.array(CARDBOARD) * random.uniform(0.7, 1.2)), z == 0)
        z += h
    return Piece((w, d, z), parts)


def basket(looks: Looks, random: Random) -> Piece:
    """A bin or a basket."""
    r, h = random.uniform(0.14, 0.25), random.uniform(0.3, 0.5)
    profile = [(0, 0.06), (0.75 * r, 0.06), (0.95 * r, h), (r, h), (0.8 * r, 0)]
    return Piece((2 * r, 2 * r, h), [turned(profile, (0, 0, 0), looks.dyed(random), 18)])


def radiator(looks: Looks, random: Random) -> Piece:
    """A ribbed radiator."""
    w, h = random.uniform(0.8, 1.4), random.uniform(0.5, 0.7)
    paint, ribs = looks.tinted(WHITE), int(w / 0.07)
    front = patch(lambda s, t: np.stack([(0.5 - t) * w, 0.05 + 0.012 * np.cos(2 * np.pi * ribs * t), 0.12 + s * h], -1),
                  steps(h), 6 * ribs, paint)  # yapf: disable
    return Piece((w, 0.13, h + 0.12), [*box((w, 0.1, h), (0, -0.01, 0.12), paint), front])


#: What stands in a kind of room: against walls, in order of importance; and in the middle, with chairs around it or not.
KINDS: dict[str, tuple[Sequence[Callable], Callable | None]] = {
    "living": ((sofa, shelf, sideboard, armchair, floor_lamp, plant, shelf, basket, boxes), low_table),
    "bedroom": ((bed, cupboard, sideboard, chair, floor_lamp, shelf, plant, basket), None),
    "office": ((desk, shelf, cupboard, desk, plant, boxes, shelf, floor_lamp), None),
    "dining": ((kitchen, sideboard, cupboard, plant, basket, shelf, boxes), table),
    "study": ((desk, sofa, shelf, shelf, armchair, floor_lamp, plant, boxes), None),
}
#: What may stand in any room.
EXTRAS = (boxes, basket, plant, chair, floor_lamp, sideboard, shelf, armchair)
