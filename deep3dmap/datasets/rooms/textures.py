"""Procedural textures: wood, tiles, bricks, stripes, wallpaper, plaster, cloth, paintings, a view out of a window.

A texture is an image in linear light that repeats in both directions. Noise is white noise filtered in the frequency domain,
which makes it periodic.
"""

import cv2
import numpy as np
from jaxtyping import Float

SIZE = 256
Random = np.random.Generator
Texture = Float[np.ndarray, "s s 3"]


def noise(random: Random, roughness: float = 1.0, stretch: tuple[float, float] = (1.0, 1.0)) -> Float[np.ndarray, "s s"]:
    """Periodic noise of mean 0 and standard deviation 1.

    Args:
        random: of the noise.
        roughness: amplitudes fall with this power of the frequency: 0 is white.
        stretch: factor of the length of features along rows and columns.
    """
    rows, columns = np.fft.fftfreq(SIZE)[:, None] * stretch[1], np.fft.rfftfreq(SIZE)[None] * stretch[0]
    frequency = np.maximum(np.hypot(rows, columns), 1 / SIZE)
    spectrum = np.fft.rfft2(random.normal(size=(SIZE, SIZE))) / frequency**roughness
    spectrum[0, 0] = 0
    values = np.fft.irfft2(spectrum)
    return values / values.std()


def tone(random: Random, light: tuple[float, float], colourful: float = 0.3) -> Float[np.ndarray, "3"]:
    """A random colour, sRGB in [0, 1].

    Args:
        random: of the colour.
        light: range of its lightness.
        colourful: largest saturation.
    """
    hue, saturation = random.uniform(0, 2 * np.pi), random.uniform(0, colourful)
    wheel = np.cos(hue - np.array([0, 2, 4]) * np.pi / 3)
    return (random.uniform(*light) * (1 + saturation * wheel)).clip(0.02, 0.95)


def wood_tone(random: Random) -> Float[np.ndarray, "3"]:
    """From pale birch to walnut, sRGB."""
    tones = np.array([[0.85, 0.72, 0.55], [0.70, 0.50, 0.32], [0.48, 0.32, 0.20], [0.32, 0.21, 0.15], [0.80, 0.78, 0.74]])
    return tones[random.integers(len(tones))] * random.uniform(0.85, 1.1) * random.uniform(0.97, 1.03, 3)


def _coloured(color, shade) -> Texture:
    return np.asarray(color) * np.asarray(shade)[..., None]


def _cells(rows: int, columns: int, offset: float) -> tuple:
    """Row and column of each pixel in a masonry of cells, and its distances from their edges, as shares of the image."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    row = np.floor(y * rows).astype(int)
    along = (x + offset * row / columns) * columns
    inside = [np.abs(v - np.floor(v) - 0.5) for v in (y * rows, along)]
    edge = np.minimum((0.5 - inside[0]) / rows, (0.5 - inside[1]) / columns)
    return row, np.floor(along).astype(int) % columns, edge


def planks(random: Random) -> Texture:
    """Floorboards."""
    rows, columns = int(random.integers(8, 15)), 2
    row, column, edge = _cells(rows, columns, 0.5 if rows % 2 == 0 else 0.0)
    shade = random.normal(1, 0.10, (rows, columns))[row, column] + 0.07 * noise(random, 1.2, (16, 1))
    return _coloured(wood_tone(random), shade * np.where(edge < 0.005, 0.55, 1))


def wood(random: Random) -> Texture:
    """Grain of a board, along the rows."""
    rings = np.sin(18 * noise(random, 2.0, (10, 1)))
    return _coloured(wood_tone(random), 1 + 0.05 * rings + 0.05 * noise(random, 0.8, (24, 1)))


def tiles(random: Random) -> Texture:
    """Square tiles with joints, perhaps in two colours."""
    count = 2 * int(random.integers(2, 5))
    row, column, edge = _cells(count, count, 0.0)
    first, second = tone(random, (0.4, 0.85), 0.25), tone(random, (0.25, 0.8), 0.3)
    mixed = (row + column) % 2 * (random.random() < 0.5)
    shade = random.normal(1, 0.05, (count, count))[row, column] + 0.03 * noise(random, 1.0)
    face = np.where(mixed[..., None] > 0, second, first) * shade[..., None]
    return np.where((edge < 0.006)[..., None], tone(random, (0.4, 0.7), 0.05), face)


def bricks(random: Random) -> Texture:
    """Brickwork."""
    rows, columns = 16, 5
    row, column, edge = _cells(rows, columns, 0.5)
    shade = random.normal(1, 0.12, (rows, columns))[row, column] + 0.08 * noise(random, 0.7)
    color = np.array([0.62, 0.34, 0.26]) if random.random() < 0.6 else tone(random, (0.6, 0.85), 0.05)
    return np.where((edge < 0.007)[..., None], (0.66, 0.63, 0.60), _coloured(color, shade))


def stripes(random: Random) -> Texture:
    """Wallpaper with vertical stripes."""
    x = (np.arange(SIZE) + 0.5) / SIZE
    wave = np.cos(2 * np.pi * int(random.integers(6, 16)) * x) + 0.5 * np.cos(2 * np.pi * int(random.integers(2, 6)) * x)
    mix = np.broadcast_to(0.5 + 0.5 * np.tanh(6 * wave), (SIZE, SIZE))[..., None]
    first = tone(random, (0.55, 0.9), 0.18)
    return mix * first + (1 - mix) * first * random.uniform(0.7, 0.93) + 0.008 * noise(random, 0.5)[..., None]


def wallpaper(random: Random) -> Texture:
    """Wallpaper with a repeated ornament."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 * np.pi * random.integers(4, 9)
    swing = random.uniform(0, 1.2)
    wave = np.cos(x + swing * np.sin(y)) * np.cos(y + swing * np.sin(x)) + 0.4 * np.cos(2 * x) * np.cos(2 * y)
    mix = (0.5 + 0.5 * np.tanh(5 * (wave - random.uniform(0, 0.5))))[..., None]
    ground, ornament = tone(random, (0.5, 0.85), 0.18), tone(random, (0.35, 0.9), 0.25)
    return ground + 0.6 * mix * (ornament - ground) + 0.008 * noise(random, 0.5)[..., None]


def plaster(random: Random) -> Texture:
    """A painted wall, slightly uneven."""
    shade = 1 + 0.02 * noise(random, 1.4) + 0.012 * noise(random, 0.3)
    return _coloured(tone(random, (0.62, 0.9), 0.16), shade)


def cloth(random: Random) -> Texture:
    """Woven cloth, plain or checked."""
    shade = 1 + 0.06 * noise(random, 0.2) + 0.06 * noise(random, 1.2)
    color = _coloured(tone(random, (0.2, 0.75), 0.45), shade)
    if random.random() < 0.4:
        line = np.cos(2 * np.pi * random.integers(3, 9) * (np.arange(SIZE) + 0.5) / SIZE) > random.uniform(-0.2, 0.7)
        color = color * np.where(line[:, None], 0.75, 1.0)[..., None] * np.where(line[None], 0.75, 1.0)[..., None]
    return color


def carpet(random: Random) -> Texture:
    """A rug with a border and a pattern, which it shows once."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    edge = np.minimum.reduce([x, y, 1 - x, 1 - y])
    colors = np.stack([tone(random, (0.2, 0.7), 0.6) for _ in range(3)])
    angle, radius = np.arctan2(y - 0.5, x - 0.5), np.hypot(x - 0.5, y - 0.5)
    petals = np.cos(random.integers(4, 12) * angle) * 0.06 + np.cos(random.integers(20, 60) * radius) * 0.2
    picked = np.where(edge < 0.06, 0, np.where(edge < 0.09, 1, np.where(petals > random.uniform(-0.05, 0.15), 2, 0)))
    return colors[picked] * (1 + 0.08 * noise(random, 0.3))[..., None]


def plain(random: Random) -> Texture:
    """Nearly white, to be tinted."""
    return _coloured((0.9, 0.9, 0.9), 1 + 0.015 * noise(random, 0.7))


def stone(random: Random) -> Texture:
    """Marble or granite of a worktop."""
    veins = np.exp(-12 * np.abs(noise(random, 1.6))) if random.random() < 0.5 else 0.5 * np.abs(noise(random, 0.2))
    return _coloured(tone(random, (0.3, 0.85), 0.1), 1 - 0.3 * veins)


def painting(random: Random) -> Texture:
    """A picture in a mount, shown once: shapes on a gradient."""
    ramp = np.linspace(0, 1, SIZE)[:, None, None]
    image = np.ascontiguousarray((1 - ramp) * tone(random, (0.3, 0.9), 0.6) + ramp * tone(random, (0.2, 0.8), 0.6) +
                                 np.zeros((SIZE, SIZE, 1)))
    for _ in range(random.integers(3, 14)):
        color, kind, at = tone(random, (0.1, 0.9), 0.9).tolist(), random.integers(3), random.integers(0, SIZE, 2)
        if kind == 0:
            cv2.circle(image, at.tolist(), int(random.integers(8, 60)), color, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.fillPoly(image, [np.int32(at + random.integers(-80, 80, (random.integers(3, 6), 2)))], color, cv2.LINE_AA)
        else:
            cv2.line(image, at.tolist(), random.integers(0, SIZE, 2).tolist(), color, int(random.integers(2, 16)), cv2.LINE_AA)
    border = int(random.integers(0, 36))
    mount = np.full((SIZE, SIZE, 3), random.uniform(0.8, 0.95))
    mount[border:SIZE - border, border:SIZE - border] = image[border:SIZE - border, border:SIZE - border]
    return mount


def outdoors(random: Random) -> Texture:
    """What a window shows, once: sky, roofs and trees; the first row is below."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    sky = np.array([0.93, 0.96, 1.0]) - y[..., None] * np.array([0.35, 0.2, 0.02]) * random.uniform(0.3, 1)
    sky = sky + 0.05 * noise(random, 1.6, (2, 1))[..., None].clip(0)
    far, near = 0.25 + 0.05 * noise(random, 1.5)[:1], 0.15 + 0.06 * noise(random, 1.2)[:1]
    roofs = 0.2 + 0.2 * random.uniform(0, 1, 12)[(x * 12).astype(int)]
    picture = np.where((y < far)[..., None], (0.62, 0.70, 0.72), sky)
    picture = np.where((y < roofs)[..., None], _coloured(tone(random, (0.5, 0.75), 0.2), 1 + 0.1 * noise(random, 0.8)),
                       picture)
    return np.where((y < near)[..., None], _coloured((0.30, 0.42, 0.22), 1 + 0.2 * noise(random, 0.6)), picture)


def door(random: Random) -> Texture:
    """A panelled door, shown once."""
    image = np.ascontiguousarray(
        wood(random) if random.random() < 0.5 else _coloured(tone(random, (0.6, 0.9), 0.15), np.ones((SIZE, SIZE))))
    for bottom, top in ((0.08, 0.45), (0.52, 0.92)) if random.random() < 0.7 else ((0.08, 0.92), ):
        for left, right in ((0.14, 0.46), (0.54, 0.86)):
            corners = [(int(left * SIZE), int(bottom * SIZE)), (int(right * SIZE), int(top * SIZE))]
            cv2.rectangle(image, *corners, (image.mean((0, 1)) * 0.6).tolist(), 6)
            cv2.rectangle(image, *corners, (image.mean((0, 1)) * 1.15).tolist(), 2)
    return image


def linear(texture: Texture) -> Float[np.ndarray, "s s 3"]:
    """sRGB values as linear light, float32."""
    return (texture.clip(0.01, 0.97)**2.2).astype(np.float32)
