"""Captures for property tests: drawn by hypothesis, with tiny images and proper cameras.

What is structure (how many views, which names, which options of a format) is drawn, so that hypothesis can shrink it; the
numbers come from a drawn seed.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from deep3dmap.structures import Cameras, Capture

SAFE = "aBz09_-+.é中"  # characters that every writer keeps in a file's name
ODD = "aZ7 '()[]{}#%&,;=@!~$^+-._é中ß\u00a0\u3000😀"
SUFFIXES = (".png", ".jpg", ".bmp", ".PNG")


@dataclass(frozen=True, repr=False)
class Photo:
    """One view: its file's name without ending, pixels, camera (first pixel's centre at 0.5)."""

    stem: str
    image: np.ndarray
    mask: np.ndarray
    K: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Shoot:
    """What a photographer brings home, before it is written in some format.

    Attributes:
        photos: the views.
        suffix: ending of the images' files.
        masked: whether the masks are written.
        digits: significant digits of numbers in text.
        lens: k1, k2, p1, p2 of all views.
        similarity: scene_from_world.
        option: picks among the ways in which a format can say the same.
    """

    photos: tuple[Photo, ...]
    suffix: str
    masked: bool
    digits: int
    lens: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    similarity: np.ndarray | None = None
    option: int = 0

    @property
    def size(self) -> tuple[int, int]:
        return self.photos[0].image.shape[:2]

    def files(self) -> list[str]:
        return [p.stem + self.suffix for p in self.photos]

    def text(self, values) -> str:
        return " ".join(f"{v:.{self.digits}g}" for v in np.ravel(values))


def _pinholes(random: np.random.Generator, count: int, size: tuple[int, int], skew: bool, shared: bool) -> np.ndarray:
    K = np.zeros((count, 3, 3))
    K[:, 0, 0], K[:, 1, 1] = max(size) * random.uniform(0.7, 3, (2, count))
    K[:, :2, 2] = np.array(size[::-1]) * random.uniform(0.3, 0.7, (count, 2))
    K[:, 0, 1] = random.uniform(-2, 2, count) * skew
    K[:, 2, 2] = 1
    return np.repeat(K[:1], count, 0) if shared else K


def _poses(random: np.random.Generator, count: int) -> np.ndarray:
    centers = random.normal(size=(count, 3, 1)) * 10**random.uniform(-2, 3)
    R = Rotation.random(count, rng=random).as_matrix()
    return np.concatenate([R, -R @ centers], 2)


def _similarity(random: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(rng=random).as_matrix() * 10**random.uniform(-3, 2)
    matrix[:3, 3] = random.normal(size=3)
    return matrix


def _smooth_images(random: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
    """Planes of colour: interpolated between pixels they stay what they are."""
    v, u = np.mgrid[:size[0], :size[1]][..., None]
    slope = random.uniform(-5, 5, (2, count, 1, 1, 3))
    return np.clip(random.uniform(60, 200, (count, 1, 1, 3)) + slope[0] * u + slope[1] * v, 0, 255).astype(np.uint8)


def _masks(random: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
    """Random masks, none of them full: an opaque alpha channel is no mask."""
    masks = random.uniform(size=(count, *size)) < 0.5
    masks[:, 0, 0] = False
    return masks


@st.composite
def stems(draw, count: int, alphabet: str = ODD, suffix: str = ".png") -> list[str]:
    """Names of files without ending, in alphabetical order of the files; some numbered with gaps."""
    if draw(st.booleans()):
        prefix = draw(st.sampled_from(["", "view_", "é"]))
        numbers = draw(st.lists(st.integers(0, 9999), min_size=count, max_size=count, unique=True))
        return [f"{prefix}{n:04d}" for n in sorted(numbers)]
    one = st.text(alphabet, min_size=1, max_size=12).filter(lambda s: s.strip() == s and s[0] not in ".-")
    found = draw(st.lists(one, min_size=count, max_size=count, unique_by=str.lower))
    return sorted(found, key=lambda s: s + suffix)


@st.composite
def shoots(draw, skew: bool = False, lens: bool = False, alphabet: str = ODD, suffixes=SUFFIXES) -> Shoot:
    """One to five views of 4 to 12 pixels."""
    count, size = draw(st.integers(1, 5)), (draw(st.integers(4, 12)), draw(st.integers(4, 12)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    suffix = draw(st.sampled_from(suffixes))
    names = draw(stems(count, alphabet, suffix))
    K = _pinholes(random, count, size, skew and draw(st.booleans()), draw(st.booleans()))
    images = _smooth_images(random, count, size)
    photos = tuple(map(Photo, names, images, _masks(random, count, size), K, _poses(random, count)))
    shoot = Shoot(photos, suffix, draw(st.booleans()), draw(st.sampled_from([7, 9, 17])))
    if lens and draw(st.booleans()):
        shoot = replace(shoot, lens=tuple(random.uniform(-0.05, 0.05, 4)))
    similarity = _similarity(random) if draw(st.booleans()) else None
    return replace(shoot, similarity=similarity, option=draw(st.integers(0, 5)))


def capture_of(shoot: Shoot) -> Capture:
    """The shoot as a capture, for the package's own writers, with noise for images.

    Not a strategy, since building one makes beartype draw from ``random``, which hypothesis forbids in strategies.
    """
    images = np.random.default_rng(shoot.option).integers(0, 256, (len(shoot.photos), *shoot.size, 3), np.uint8)
    K, poses = (torch.from_numpy(np.stack([getattr(p, key) for p in shoot.photos])) for key in ("K", "pose"))
    masks = torch.from_numpy(np.stack([p.mask for p in shoot.photos])) if shoot.masked else None
    similarity = None if shoot.similarity is None else torch.from_numpy(shoot.similarity)
    names = tuple(p.stem for p in shoot.photos)
    return Capture(torch.from_numpy(images), Cameras(K, poses, shoot.size), names, masks, similarity)
