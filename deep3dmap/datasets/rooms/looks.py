"""The materials of a room: a set of random textures, which all furniture of the room shares."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from deep3dmap.datasets.rooms import textures
from deep3dmap.datasets.rooms.surfaces import Material

FLOORS = (textures.planks, textures.planks, textures.tiles, textures.cloth, textures.stone)
WALLS = (textures.plaster, textures.plaster, textures.plaster, textures.stripes, textures.wallpaper, textures.wallpaper)
ACCENTS = (textures.plaster, textures.stripes, textures.wallpaper, textures.bricks, textures.tiles, textures.wood)
COPIES = dict(wood=2, cloth=3, painting=4)
#: Side of the square that a texture covers, metres; those that a piece shows once have their size from it.
EXTENTS = dict(floor=(1.4, 2.2), wall=(1.2, 2.0), wood=(0.7, 1.1), cloth=(0.4, 0.9), stone=(0.6, 1.2), plain=(1.0, 1.0))


@dataclass(frozen=True)
class Looks:
    """Textures of a room by name.

    Attributes:
        makers: the function that paints each texture.
        extents: side of the square that each texture covers, metres; 1 for those that are shown once.
        index: textures of each name.
    """

    makers: tuple
    extents: Float[np.ndarray, "m"]
    index: dict[str, list[int]]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Looks":
        """The choice of a random room."""
        chosen = dict(floor=FLOORS[random.integers(len(FLOORS))], wall=WALLS[random.integers(len(WALLS))],
                      accent=ACCENTS[random.integers(len(ACCENTS))])  # yapf: disable
        names = ("floor", "wall", "accent", "wood", "cloth", "stone", "plain", "painting", "carpet", "outdoors", "door")
        makers, extents, index = [], [], {}
        for name in names:
            for _ in range(COPIES.get(name, 1)):
                index.setdefault(name, []).append(len(makers))
                makers.append(chosen.get(name) or getattr(textures, name))
                extents.append(random.uniform(*EXTENTS.get("wall" if name == "accent" else name, (1.0, 1.0))))
        return cls(tuple(makers), np.array(extents), index)

    def painted(self, random: np.random.Generator) -> list[Float[np.ndarray, "s s 3"]]:
        """The textures, in linear light."""
        return [textures.linear(maker(random)) for maker in self.makers]

    def pick(self, name: str, random: np.random.Generator) -> Material:
        """A random one of the textures of a name."""
        return Material(int(random.choice(self.index[name])))

    def dyed(self, random: np.random.Generator, light: tuple[float, float] = (0.15, 0.85), colourful: float = 0.5) -> Material:
        """A plain material in a random colour."""
        return self.tinted(textures.tone(random, light, colourful))

    def tinted(self, color) -> Material:
        """A plain material in an sRGB colour."""
        return Material(self.index["plain"][0], tuple((np.asarray(color, float)**2.2).tolist()))

    def glowing(self, color, glow: float) -> Material:
        """A plain material that gives off light."""
        return Material(self.index["plain"][0], tuple(np.asarray(color, float).tolist()), glow)

    def average(self, painted: list, texture: Int[np.ndarray, "f"]) -> Float[np.ndarray, "f 3"]:
        """Mean linear colour of each face's texture."""
        return np.stack([image.mean((0, 1)) for image in painted])[texture]
