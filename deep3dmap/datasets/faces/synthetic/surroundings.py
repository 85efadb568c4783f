"""What is around and in front of a synthetic face: backgrounds, hair behind and before it, hands and things that hide it."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from jaxtyping import Float

from deep3dmap.io.images import read_image

Picture = Float[np.ndarray, "h w 3"]

#: Photographs without faces that scikit-image brings.
PHOTOGRAPHS = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "ihc", "motorcycle_left", "page")


@cache
def _photograph(name: str) -> Picture:
    return read_image(Path(skimage.data.__file__).parent / f"{name}.png").numpy().astype(np.float32) / 255


def _cutout(size: int, random: np.random.Generator) -> Picture:
    """A part of a photograph, turned and tinted."""
    photograph = _photograph(PHOTOGRAPHS[random.integers(len(PHOTOGRAPHS))])
    side = int(min(photograph.shape[:2]) * random.uniform(0.3, 1.0))
    row, column = (random.integers(0, length - side + 1) for length in photograph.shape[:2])
    part = cv2.resize(photograph[row:row + side, column:column + side], (size, size), interpolation=cv2.INTER_AREA)
    part = np.rot90(part, random.integers(4))[:, ::random.choice([-1, 1])]
    return np.ascontiguousarray(part * np.exp(random.normal(0, 0.2, 3)), np.float32)


def background(size: int, random: np.random.Generator) -> Picture:
    """A random picture in [0, 1]: part of a photograph; or a plain or graded wall, blotches, stripes, and shapes; often out of
    focus."""
    if random.random() < 0.35:
        picture = _cutout(size, random)
    else:
        picture = _pattern(size, random)
    if random.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), float(np.exp(random.uniform(-0.5, 2.0))))
    return picture.clip(0, 1)


def _pattern(size: int, random: np.random.Generator) -> Picture:
    picture = np.broadcast_to(random.uniform(0, 1, 3), (size, size, 3)).astype(np.float32)
    saturation = random.beta(1.0, 1.5)
    if random.random() < 0.25:
        picture = _graded(size, random)
    if random.random() < 0.75:
        picture = picture + random.uniform(0.05, 0.9) * (blotches(size, random) - 0.5)
    if random.random() < 0.6:
        picture = _with_shapes(np.ascontiguousarray(picture), random, int(random.integers(1, 25)))
    if random.random() < 0.25:
        picture = picture + random.uniform(0.05, 0.4) * _stripes(size, random)
    grey = picture.mean(-1, keepdims=True)
    return grey + saturation * (picture - grey)


def blotches(size: int, random: np.random.Generator, channels: int = 3) -> Float[np.ndarray, "h w c"]:
    """Smooth noise in [0, 1] of several scales."""
    total, weight = np.zeros((size, size, channels), np.float32), 0.0
    falloff = random.uniform(0.4, 0.9)
    grey = random.random() < 0.5
    for level in range(random.integers(2, 7)):
        cells = 3 * 2**level
        values = random.random((cells, cells, 1 if grey else channels), np.float32)
        patch = cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, -1)
        total, weight = total + falloff**level * patch, weight + falloff**level
    return (total / weight).clip(0, 1)


def _graded(size: int, random: np.random.Generator) -> Picture:
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle = random.uniform(0, 2 * np.pi)
    share = (0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))[..., None]
    return (share * random.uniform(0, 1, 3) + (1 - share) * random.uniform(0, 1, 3)).astype(np.float32)


def _stripes(size: int, random: np.random.Generator) -> Float[np.ndarray, "h w 1"]:
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle, frequency = random.uniform(0, np.pi), random.uniform(3, 60)
    return np.sign(np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle))))[..., None].astype(np.float32)


def _with_shapes(picture: Picture, random: np.random.Generator, count: int) -> Picture:
    size = len(picture)
    for _ in range(count):
        color, centre = random.uniform(0, 1, 3).tolist(), random.integers(0, size, 2)
        extent = random.integers(2, max(size // 2, 3), 2)
        kind, thick = random.integers(3), -1 if random.random() < 0.7 else int(random.integers(1, 6))
        if kind == 0:
            cv2.rectangle(picture, centre.tolist(), (centre + extent).tolist(), color, thick)
        elif kind == 1:
            cv2.ellipse(picture, centre.tolist(), extent.tolist(), random.uniform(0, 180), 0, 360, color, thick)
        else:
            cv2.line(picture, centre.tolist(), random.integers(0, size, 2).tolist(), color, int(random.integers(1, 9)))
    return picture


def hair_texture(size: int, color, angle: float, random: np.random.Generator) -> Picture:
    """Streaks of hair that run in one direction."""
    noise = random.random((size, size), np.float32)
    length = size // 6
    kernel = np.zeros((length, length), np.float32)
    middle, step = length / 2, length / 2 * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, np.int32(middle - step).tolist(), np.int32(middle + step).tolist(), 1.0, 1)
    streaks = cv2.filter2D(noise, -1, kernel / kernel.sum())
    streaks = (streaks - streaks.mean()) / (streaks.std() + 1e-6)
    return (np.asarray(color) * (1 + 0.35 * streaks[..., None])).clip(0, 1).astype(np.float32)


def long_hair(top: Float[np.ndarray, "2"], chin: Float[np.ndarray, "2"], width: float, size: int,
              random: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Coverage by hair behind the head: a mass around the skull that may fall on the shoulders.

    Args:
        top: of the skull, pixels.
        chin: pixels.
        width: of the head, pixels.
        size: of the picture.
        random: of length, width and waves.
    """
    down, length = chin - top, random.uniform(0.7, 1.8)
    across = np.array([down[1], -down[0]]) / np.linalg.norm(down) * width * random.uniform(0.5, 0.85)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    wave = 1 + sum(random.normal(0, 0.04) * np.sin(k * angle + random.uniform(0, 7)) for k in range(2, 7))
    x, y = np.cos(angle) * wave, np.sin(angle) * wave
    along = np.where(y < 0, 0.5 + y * random.uniform(0.5, 0.75), 0.5 + y * (length - 0.5))
    square = random.uniform(0.5, 1.0)  # the ends are cut, or run together
    points = top + along[:, None] * down + (np.sign(x) * np.abs(x)**square)[:, None] * across
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.int32(points)], 1.0, cv2.LINE_AA)
    return mask


def fringe(forehead: Float[np.ndarray, "n 2"], down: Float[np.ndarray, "2"], size: int,
           random: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Coverage by strands that hang from the hairline over forehead and cheeks.

    Args:
        forehead: points along the hairline, pixels, from one side to the other.
        down: from the forehead to the brows, pixels.
        size: of the picture.
        random: of number, length and waves.
    """
    mask, across = np.zeros((size, size), np.float32), np.array([-down[1], down[0]])
    sides = random.random() < 0.4
    for _ in range(random.integers(4, 40)):
        at = random.beta(0.4, 0.4) if sides else random.uniform(0, 1)
        k = min(int(at * (len(forehead) - 1)), len(forehead) - 2)
        start = forehead[k] + random.uniform(-0.2, 0.2) * down + random.normal(0, 0.1) * across
        length = random.uniform(0.3, 1.0) if not sides else random.uniform(0.5, 3.0)
        t = np.linspace(0, 1, 8)[:, None]
        sway = random.normal(0, 0.25) * t**2 + random.normal(0, 0.06) * np.sin(6 * t + random.uniform(0, 6))
        line = start + t * length * down + sway * across * length
        cv2.polylines(mask, [np.int32(line)], False, random.uniform(0.3, 0.9), int(random.integers(1, max(2, size // 50))),
                      cv2.LINE_AA)
    return mask


def torso(chin: Float[np.ndarray, "2"], down: Float[np.ndarray, "2"], size: int,
          random: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Coverage by shoulders and chest behind the head, which the face model lacks.

    Args:
        chin: pixels.
        down: from the bridge of the nose to the chin, pixels.
        size: of the picture.
        random: of width, slope and lean.
    """
    reach = np.linalg.norm(down)
    neck = chin + reach * np.array([random.normal(0, 0.3), random.uniform(0.2, 0.7)])
    width, drop = reach * random.uniform(1.3, 2.3), reach * random.uniform(0.3, 0.9)
    points = [neck + (-0.5 * reach, 0), neck + (0.5 * reach, 0), neck + (width, drop), (neck[0] + width * 1.1, 3 * size),
              (neck[0] - width * 1.1, 3 * size), neck + (-width, drop)]  # yapf: disable
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.int32(points)], 1.0, cv2.LINE_AA)
    return mask


def lenses(eyes: Float[np.ndarray, "2 6 2"], size: int, random: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Coverage by dark lenses.

    Args:
        eyes: the landmarks of both eyes, pixels.
        size: of the picture.
        random: of their size and darkness.
    """
    mask, grown, lower = np.zeros((size, size), np.float32), random.uniform(1.5, 2.1), random.uniform(0.9, 1.4)
    angle = np.linspace(0, 2 * np.pi, 40)
    for eye in eyes:
        along, centre = (eye[3] - eye[0]) / 2, eye.mean(0)
        between = eyes[1].mean(0) - eyes[0].mean(0)
        down = np.array([-between[1], between[0]]) * 0.24 * lower
        points = centre + 0.15 * down + np.cos(angle)[:, None] * grown * along + np.sin(angle)[:, None] * down
        cv2.fillPoly(mask, [np.int32(points)], 1.0, cv2.LINE_AA)
    return mask * random.uniform(0.6, 1.0)


def occluder(size: int, near: Float[np.ndarray, "2"], reach: float, skin, random: np.random.Generator) -> tuple:
    """Something in front of the face: its coverage (h, w) and its picture (h, w, 3).

    A hand-like bundle of capsules in a skin colour, a patterned blob, or a bar such as a microphone's or a scarf's edge.

    Args:
        size: of the picture.
        near: middle of the face, pixels.
        reach: half the face's size, pixels.
        skin: RGB of the person's skin.
        random: of everything.
    """
    mask = np.zeros((size, size), np.float32)
    angle = random.uniform(0, 2 * np.pi)
    centre = near + reach * random.uniform(0.5, 1.3) * np.array([np.cos(angle), np.sin(angle)])
    kind = random.integers(3)
    if kind == 0:
        towards = near - centre + random.normal(0, 0.3 * reach, 2)
        towards = towards / (np.linalg.norm(towards) + 1e-6)
        side = np.array([-towards[1], towards[0]])
        width = reach * random.uniform(0.12, 0.2)
        for finger in range(random.integers(1, 6)):
            base = centre + side * (finger - 2) * width * 1.05
            tip = base + towards * reach * random.uniform(0.4, 1.0) + side * random.normal(0, 0.1 * reach)
            cv2.line(mask, np.int32(base).tolist(), np.int32(tip).tolist(), 1.0, max(int(width), 1), cv2.LINE_AA)
        cv2.circle(mask, np.int32(centre - towards * width).tolist(), max(int(2.2 * width), 1), 1.0, -1, cv2.LINE_AA)
        texture = np.asarray(skin) * random.uniform(0.6, 1.2) * (0.8 + 0.4 * blotches(size, random))
    elif kind == 1:
        corners = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 12)))
        radius = reach * random.uniform(0.2, 0.9) * random.uniform(0.6, 1.2, len(corners))
        points = centre + radius[:, None] * np.stack([np.cos(corners), np.sin(corners)], -1)
        cv2.fillPoly(mask, [np.int32(points)], 1.0, cv2.LINE_AA)
        texture = background(size, random)
    else:
        along = np.array([np.cos(angle + 1.4), np.sin(angle + 1.4)]) * size
        cv2.line(mask,
                 np.int32(centre - along).tolist(),
                 np.int32(centre + along).tolist(), 1.0, max(int(reach * random.uniform(0.1, 0.7)), 1), cv2.LINE_AA)
        texture = background(size, random)
    return mask, texture.astype(np.float32).clip(0, 1)
