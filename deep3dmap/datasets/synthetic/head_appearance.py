"""Appearance of heads of the ICT model: skin with blotches, freckles and pores, lips, brows, eyes, cropped hair, a shirt; and
materials of hats, hair, glasses and stone.

Colours are functions of *canonical* points: where a surface point lies on the model's mean head, in its centimetres (x to the
subject's left, y up, z out of the face). So brows and eyes follow the identity. Differences between people are drawn from a
seed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from deep3dmap.datasets.synthetic import shapes as s

SKIN, EYE, HAT, GLASSES, HAIR, STONE = range(6)
"""Materials of a surface."""

TONES = ((0.93, 0.76, 0.67), (0.89, 0.69, 0.58), (0.84, 0.63, 0.50), (0.76, 0.55, 0.42), (0.64, 0.44, 0.32), (0.48, 0.32,
                                                                                                              0.23))
HAIRS = ((0.10, 0.08, 0.07), (0.22, 0.14, 0.09), (0.36, 0.23, 0.13), (0.55, 0.41, 0.24), (0.42, 0.20, 0.10), (0.48, 0.46,
                                                                                                              0.44))
IRISES = ((0.30, 0.19, 0.10), (0.38, 0.27, 0.14), (0.30, 0.42, 0.48), (0.33, 0.40, 0.25), (0.22, 0.14, 0.09))
CLOTHES = ((0.16, 0.24, 0.42), (0.55, 0.16, 0.16), (0.20, 0.36, 0.27), (0.35, 0.34, 0.36), (0.66, 0.58, 0.42), (0.30, 0.20,
                                                                                                                0.36))
TABLE = 32
LIDS, IRIS = (3.13, 3.47), (3.24, 3.61)  # centres of the eye opening, and of the eyeball


@dataclass(frozen=True)
class Person:
    """Attributes that differ between people, besides their shape.

    Attributes:
        tone, hair, iris, shirt, felt: RGB of skin, hair, irises, shirt and hat.
        redness: of lips and cheeks, about 1.
        freckles: 0 to 1.
        beard: stubble on the jaw, 0 to 1.
        scalp: density of the cropped hair, 0 to 1.
        shift: offset of the noise, so that no two people share their blotches.
    """

    tone: tuple[float, ...]
    hair: tuple[float, ...]
    iris: tuple[float, ...]
    shirt: tuple[float, ...]
    felt: tuple[float, ...]
    redness: float
    freckles: float
    beard: float
    scalp: float
    shift: tuple[float, ...]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Person":
        """A random person."""
        at, hairs = random.uniform(0, len(TONES) - 1), random.integers(len(HAIRS))
        tone = [np.interp(at, range(len(TONES)), [t[c] for t in TONES]) for c in range(3)]
        dark = at > 3.2  # hair and eyes match the skin
        hair = HAIRS[hairs % 2] if dark else HAIRS[hairs]
        iris = IRISES[(0, 4)[hairs % 2]] if dark else IRISES[random.integers(len(IRISES))]
        clothes = random.permutation(len(CLOTHES))
        return cls(tuple(float(t) for t in tone), hair, iris, CLOTHES[clothes[0]], CLOTHES[clothes[1]],
                   float(random.uniform(0.7, 1.2)), float(random.uniform(0, 1)**2), float(max(random.uniform(-0.7, 0.8), 0)),
                   float(random.uniform(0.55, 1.0)), tuple(random.uniform(0, TABLE, 3).tolist()))


def color_of(person: Person, canonical: Float[Tensor, "p 3"], material: Float[Tensor, "p"]) -> Float[Tensor, "p 3"]:
    """RGB in [0, 1] of surface points.

    Args:
        person: the person.
        canonical: where the points lie on the mean head, centimetres.
        material: of the points.
    """
    p, painters = canonical.float(), {SKIN: _skin, EYE: _eye, HAT: _felt, GLASSES: _acetate, HAIR: _hair, STONE: _stone}
    kind = material.round()
    color = torch.zeros(len(p), 3)
    for number, painter in painters.items():
        chosen = kind == number
        if chosen.any():
            color[chosen] = painter(person, p[chosen])
    return color.clamp(0, 1)


def gloss(material: Float[Tensor, "p"]) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
    """Strength and sharpness of highlights."""
    eye, acetate = material == EYE, material == GLASSES
    matt = (material == HAT) | (material == STONE)
    strength = torch.where(eye, 0.55, torch.where(acetate, 0.5, torch.where(matt, 0.0, 0.12)))
    return strength.to(material), torch.where(eye | acetate, 120.0, 18.0).to(material)


def noise(points: Float[Tensor, "p 3"], seed: int = 0) -> Float[Tensor, "p"]:
    """Smooth random values in [0, 1] that change over a length of about 1 and repeat after 32: from a table, for speed."""
    points = points + torch.tensor([0.37, 0.61, 0.83]) * seed
    cell = torch.floor(points)
    weight = points - cell
    weight = weight * weight * (3 - 2 * weight)
    grid = 2 * (torch.remainder(cell, TABLE) + weight) / TABLE - 1
    return grid_sample(_TABLES[seed % len(_TABLES)], grid.view(1, 1, 1, -1, 3), align_corners=True).view(-1)


#: Random values on four lattices; each table's last layers repeat its first.
_TABLES = [torch.from_numpy(np.pad(table, (0, 1), mode="wrap"))[None, None]
           for table in np.random.default_rng(0).random((4, TABLE, TABLE, TABLE), dtype=np.float32)]  # yapf: disable


def _at(person: Person, p):
    return p + torch.tensor(person.shift)


def _tinted(person: Person, red: float, dark: float) -> tuple[float, ...]:
    """The person's skin, redder and darker."""
    r, g, b = person.tone
    return r * dark, g * dark * (1 - red), b * dark * (1 - 0.9 * red)


def _skin(person: Person, p):
    m, q = s.mirrored(p), _at(person, p)
    color = torch.tensor(person.tone) * (0.86 + 0.16 * noise(0.7 * q, 1) + 0.12 * noise(2.3 * q, 2))[:, None]
    color = _blush(person, color, p, m)
    color = _freckled(person, color, q, m)
    color = _lips(person, color, p, q)
    color = _cropped(person, color, p, q)
    color = s.paint(color, person.hair, 0.85 * _brows(m, q))
    color = _around_the_eyes(person, color, m)
    color = s.paint(color, _tinted(person, 0.35, 0.3), s.ramp(_nostril(m), 0.15, -0.1))
    pores = (noise(9 * q, 3) + noise(17 * q, 0) - 1.0)[:, None]
    return _shirted(person, color * (1 + 0.14 * pores), p, q)


def _blush(person: Person, color, p, m):
    for centre, radius, amount in (((4.6, 0.4, 9.0), 2.6, 0.5), ((0, 0.6, 12.8), 1.3, 0.45), ((8.0, 2.0, 0), 2.6, 0.45),
                                   ((0, -6.8, 10.5), 1.7, 0.25), ((2.6, 2.2, 9.4), 1.2, 0.3)):
        near = s.ramp(torch.linalg.norm(m - torch.tensor(centre), dim=-1), 1.5 * radius, 0.0)
        color = s.paint(color, _tinted(person, 0.3 * person.redness, 0.95), amount * near)
    return color


def _freckled(person: Person, color, q, m):
    where = s.ramp(torch.linalg.norm((m - torch.tensor([3.0, 1.0, 10.0])) / torch.tensor([4.0, 2.5, 4.0]), dim=-1), 1.4, 0.3)
    few = s.ramp(noise(3.1 * q, 5), 0.80, 0.88) + s.ramp(noise(5.3 * q, 6), 0.76, 0.86)
    moles = s.ramp(noise(1.7 * q, 7), 0.965, 0.975)
    color = s.paint(color, _tinted(person, 0.25, 0.6), few * (0.15 + 0.7 * person.freckles * where))
    return s.paint(color, _tinted(person, 0.3, 0.35), 0.8 * moles)


def _lips(person: Person, color, p, q):
    x = p[:, 0].abs()
    taper = (1 - (x / 2.65)**2).clamp(min=0)
    upper = -3.38 + 0.98 * taper**0.8 - 0.10 * torch.exp(-(x / 0.35)**2)
    lower = -3.45 - 1.02 * taper**0.7
    inside = torch.minimum(s.ramp(upper - p[:, 1], -0.08, 0.12), s.ramp(p[:, 1] - lower, -0.08, 0.12)) * (taper > 0)
    lines = 0.85 + 0.25 * noise(q * torch.tensor([7.0, 2.0, 2.0]), 8)
    color = s.paint(color, _tinted(person, 0.36 * person.redness, 0.80), inside * lines * (p[:, 2] > 8.5))
    return s.paint(color, _tinted(person, 0.5, 0.35), 0.9 * s.ramp(
        (p[:, 1] + 3.42).abs(), 0.12, 0.02) * (taper > 0.01) * (p[:, 2] > 8))


def _brows(m, q):
    """The coverage of a point by eyebrow hair."""
    x = m[:, 0]
    middle = 5.62 + 0.18 * (x - 1.2) - 0.13 * (x - 3.6).clamp(min=0)**2
    half = 0.34 * s.ramp(x, 0.9, 1.6) * s.ramp(x, 6.2, 3.2) + 0.06
    hairs = noise(torch.stack([4 * q[:, 0] + 3 * q[:, 1], 12 * q[:, 1] - 7 * q[:, 0], q[:, 2]], -1), 9)
    band = s.ramp((m[:, 1] - middle).abs() - half + 0.28 * (hairs - 0.5), 0.14, -0.06)
    return band * s.ramp(x, 0.8, 1.3) * s.ramp(x, 6.1, 5.6) * (m[:, 2] > 5)


def _around_the_eyes(person: Person, color, m):
    x, y = (m[:, 0] - LIDS[0]) / 1.75, m[:, 1] - LIDS[1]
    near = s.ramp((x**2 + (y / 1.1)**2).sqrt(), 1.35, 0.7) * (m[:, 2] > 7)
    color = s.paint(color, _tinted(person, 0.22, 0.80), 0.55 * near)
    lid = 0.52 * (1 - ((m[:, 0] - 3.1) / 1.5)**2).clamp(min=0)**0.6
    lash = s.ramp((y - lid).abs(), 0.16, 0.05) * (x.abs() < 0.9) * (m[:, 2] > 7.5)
    return s.paint(color, (0.10, 0.07, 0.06), 0.75 * lash)


def _nostril(m):
    """Approximate distance from the nostrils' openings, centimetres."""
    return s.ellipsoid(m, [0.72, -1.02, 11.3], [0.30, 0.36, 0.55])


def hairline(canonical: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
    """Approximate distance (centimetres) of canonical points above the hairline; negative in the face and below."""
    z, y = canonical[:, 2], canonical[:, 1] + 0.09 * (canonical[:, 0]**2 - 16).clamp(min=-9) * (canonical[:, 2] < -2.2)
    knots = torch.tensor([[-14.0, -2.6], [-4.8, -1.4], [-2.2, 4.9], [3.2, 5.4], [4.4, 4.2], [5.0, 6.2], [7.2, 9.0],
                          [14.0, 9.8]]).to(z)
    k = torch.searchsorted(knots[:, 0].contiguous(), z.contiguous()).clamp(1, len(knots) - 1)
    (z0, y0), (z1, y1) = knots[k - 1].T, knots[k].T
    slope = (y1 - y0) / (z1 - z0)
    return (y - y0 - slope * (z - z0)) / torch.sqrt(1 + slope**2)


def _cropped(person: Person, color, p, q):
    dots = s.ramp(noise(7.5 * q, 10) + 0.6 * noise(15 * q, 11), 0.55, 1.05)
    ragged = 0.5 * (noise(3 * q, 12) - 0.5)
    scalp = s.ramp(hairline(p) + ragged, -0.25, 0.5) * (p[:, 0].abs() < 8.1)
    color = s.paint(color, person.hair, scalp * person.scalp * (0.62 + 0.38 * dots))
    jaw = s.ramp(p[:, 1], -1.2, -2.6) * s.ramp(p[:, 1], -9.5, -7.5) * s.ramp(p[:, 2], 3.5, 6.0)
    clear = 1 - s.ramp((p[:, 0] / 3.2)**2 + ((p[:, 1] + 3.4) / 1.5)**2, 1.1, 0.8) * (p[:, 2] > 9)
    return s.paint(color, person.hair, person.beard * jaw * clear * (0.3 + 0.45 * dots))


def _shirted(person: Person, color, p, q):
    collar = -13.2 + 0.035 * p[:, 0]**2 - 0.20 * (p[:, 2] - 3.0)
    cloth = torch.tensor(person.shirt) * (0.75 + 0.25 * noise(5 * q, 13) + 0.25 * noise(14 * q, 14))[:, None]
    stripes = s.ramp(torch.sin(3.0 * (p[:, 1] - 0.05 * p[:, 0]**2)), 0.2, 0.5)
    cloth = s.paint(cloth, tuple(0.5 + 0.4 * c for c in person.shirt), 0.6 * stripes)
    return torch.lerp(color, cloth, s.ramp(p[:, 1] - collar, 0.06, -0.06)[:, None])


def _eye(person: Person, p):
    m = s.mirrored(p)
    x, y = m[:, 0] - IRIS[0], m[:, 1] - IRIS[1]
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    fibres = noise(torch.stack([5 * torch.cos(angle), 5 * torch.sin(angle), 3 * radius], -1), 15)
    iris = torch.tensor(person.iris) * (0.65 + 0.9 * fibres)[:, None]
    iris = s.paint(iris, (0.05, 0.05, 0.05), s.ramp(radius, 0.46, 0.58))
    iris = s.paint(iris, (0.02, 0.02, 0.02), s.ramp(radius, 0.25, 0.20))
    veins = 0.3 * s.ramp(noise(torch.stack([1.5 * x, 9 * y, 0 * x], -1) + 3, 16), 0.6, 0.85)
    white = s.paint(torch.tensor((0.90, 0.88, 0.85)).expand_as(p), (0.78, 0.45, 0.42), s.ramp(radius, 0.8, 1.7) * 0.6 + veins)
    return torch.lerp(white, iris, s.ramp(radius, 0.62, 0.56)[:, None])


def _felt(person: Person, p):
    q = _at(person, p)
    cloth = torch.tensor(
        person.felt) * (0.62 + 0.3 * noise(1.1 * q, 17) + 0.25 * noise(6 * q, 18) + 0.25 * noise(15 * q, 19))[:, None]
    band = s.ramp((p[:, 1] - (9.6 + 0.16 *
                              (p[:, 2] - 1.0))).abs(), 1.05, 0.95) * s.ramp(torch.hypot(p[:, 0] / 9.2,
                                                                                        (p[:, 2] - 0.9) / 11.2), 1.12, 1.04)
    weave = 0.8 + 0.4 * s.ramp(torch.sin(9 * torch.atan2(p[:, 0], p[:, 2]) * 6), -0.2, 0.2)
    return torch.lerp(cloth, torch.tensor(person.shirt) * weave[:, None], band[:, None])


def _acetate(person: Person, p):
    q = _at(person, p)
    return s.paint(torch.tensor((0.10, 0.06, 0.05)).expand_as(p), (0.52, 0.28, 0.10), s.ramp(noise(1.6 * q, 20), 0.45, 0.7))


def _hair(person: Person, p):
    angle, q = torch.atan2(p[:, 0] - 0.5, p[:, 1] - 2.0), _at(person, p)
    along = torch.stack([14 * angle + 0.8 * noise(0.5 * q, 21), 0.5 * p[:, 2], 0 * angle], -1)
    streaks = 0.55 * noise(along, 22) + 0.45 * noise(3 * along, 23)
    return torch.tensor(person.hair) * (0.55 + 1.0 * streaks)[:, None] + 0.05 * (streaks > 0.75)[:, None]


def _stone(person: Person, p):
    q = _at(person, p)
    color = torch.tensor((0.80, 0.72, 0.60)) * (0.72 + 0.22 * noise(0.45 * q, 24) + 0.2 * noise(2 * q, 25))[:, None]
    color = s.paint(color, (0.52, 0.40, 0.30), 0.4 * s.ramp(noise(0.8 * q, 26) + 0.4 * noise(4 * q, 27), 0.85, 1.05))
    color = s.paint(color, (0.40, 0.44, 0.46), 0.3 * s.ramp(noise(0.35 * q, 28), 0.62, 0.72))
    return color * (0.86 + 0.16 * noise(8 * q, 29) + 0.14 * noise(16 * q, 30))[:, None]
