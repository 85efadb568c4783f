"""A head sculpted from signed distances, with a colour for every point: ground truth that needs no download.

The head is modelled in centimetres around a point between the eye sockets and the ears (x to its left, y up, z
forward) and placed in a world of metres, about 1.6 above the ground: not at the origin, like most real scans.
"""

from functools import cache
from types import SimpleNamespace

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.synthetic import shapes as s
from deep3dmap.geometry.meshing import extract_surface
from deep3dmap.geometry.triangles import largest_component

METRES = 0.01
PLACE = (0.22, 1.58, -0.13)
LOW, HIGH = (-11.5, -18.0, -12.5), (11.5, 13.5, 13.0)
BASE = -17.3
EYE = (3.15, 0.0, 7.0)
SKIN, LIPS, HAIR = (0.87, 0.66, 0.54), (0.76, 0.43, 0.39), (0.40, 0.23, 0.13)


def head_sdf(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
    """Approximate signed distance (metres, positive outside) of world points from the head; its zero set is the surface."""
    return _parts(_to_head(points)).whole * METRES


def _to_head(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    return (points - torch.tensor(PLACE).to(points)) / METRES


def _parts(p: Float[Tensor, "p 3"]) -> SimpleNamespace:
    """Signed distances (cm) of the head's visible parts, and of the whole."""
    m = s.mirrored(p, 0.05)
    lips = _lips(p)
    skin = _ears(m, _mouth(p, lips, _nose(p, m, _sockets(m, _skull(p, m)))))
    skin, ball = _eyes(m, s.union(skin, _neck(p, m), blend=1.8))
    hair, shirt = _hair(p, m), _shirt(p)
    whole = s.union(s.union(skin, hair, shirt, blend=0.12), ball, blend=0.06)
    whole = s.intersection(whole, BASE - p[:, 1], blend=0.3)
    return SimpleNamespace(skin=skin, hair=hair, shirt=shirt, ball=ball, lips=torch.minimum(*lips), whole=whole)


def _skull(p, m):
    """Cranium, midface, jaw, chin, cheekbones and brow ridge."""
    skull = s.ellipsoid(p, [0, 3.3, -0.6], [7.2, 8.0, 9.5])
    face = s.ellipsoid(p, [0, -3.2, 2.0], [6.2, 7.4, 6.7])
    jaw = s.union(s.ellipsoid(p, [0, -6.6, 3.6], [4.7, 4.0, 5.0]),
                  s.capsule(m, [4.2, -5.9, 0.8], [1.2, -9.6, 6.8], 1.5, 1.4),
                  blend=1.5)
    chin = s.ellipsoid(p, [0, -9.9, 7.7], [1.7, 1.3, 1.5])
    cheek = s.ellipsoid(s.tilted(m, [4.1, -2.2, 5.6], [0, 25, -10]), [0, 0, 0], [2.2, 1.5, 1.9])
    brow = s.union(s.capsule(m, [0.9, 1.8, 8.3], [3.4, 2.4, 7.9], 0.6, 0.65),
                   s.capsule(m, [3.4, 2.4, 7.9], [5.3, 1.3, 5.8], 0.7, 0.4),
                   blend=0.8)
    head = s.union(skull, face, blend=3.0)
    head = s.union(head, jaw, blend=2.0)
    head = s.union(head, chin, blend=1.6)
    head = s.union(head, cheek, blend=1.8)
    return s.union(head, brow, blend=1.2)


def _sockets(m, head):
    socket = s.ellipsoid(m, [3.1, 0.0, 9.1], [1.9, 1.25, 1.5])
    inner = s.ellipsoid(m, [1.75, 0.2, 9.2], [0.65, 0.9, 0.9])
    return s.subtraction(s.subtraction(head, socket, blend=1.3), inner, blend=1.0)


def _eyes(m, head):
    """Lids, open in the shape of an almond, and the eyeballs behind them."""
    x, y = m[:, 0] - EYE[0], m[:, 1] - EYE[1]
    y = y - 0.1 * x  # the outer corner is the higher one
    arch = 1 - (x / 1.4)**2
    opening = s.intersection(y - 0.46 * arch, -0.42 * arch - y, EYE[2] + 0.5 - m[:, 2], blend=0.1)
    lids = s.ellipsoid(m, EYE, [1.75, 1.45, 1.47])
    return s.subtraction(s.union(head, lids, blend=0.45), opening, blend=0.3), s.sphere(m, EYE, 1.2)


def _nose(p, m, head):
    bridge = s.capsule(p, [0, 1.0, 8.1], [0, -2.9, 10.1], 0.7, 0.8)
    tip = s.ellipsoid(p, [0, -3.3, 10.5], [0.95, 0.85, 0.95])
    wing = s.ellipsoid(s.tilted(m, [1.2, -3.7, 9.3], [0, 20, 0]), [0, 0, 0], [0.7, 0.7, 1.05])
    underside = s.ellipsoid(p, [0, -3.75, 9.2], [1.45, 0.6, 1.4])
    septum = s.capsule(p, [0, -3.7, 10.3], [0, -4.15, 8.9], 0.3, 0.3)
    nose = s.union(s.union(bridge, tip, blend=0.9), wing, blend=0.6)
    nose = s.union(s.union(nose, underside, blend=0.4), septum, blend=0.3)
    return s.subtraction(s.union(head, nose, blend=1.1), _nostrils(m), blend=0.15)


def _nostrils(m):
    return s.ellipsoid(s.tilted(m, [0.62, -4.35, 9.75], [0, 25, 0]), [0, 0, 0], [0.26, 0.28, 0.42])


def _mouth(p, lips, head):
    """Lips on a bent muzzle, with the crease between them and the philtrum above."""
    upper, lower = lips
    muzzle = s.ellipsoid(p, [0, -6.7, 6.3], [3.3, 2.7, 2.9])
    crease = s.capsule(s.mirrored(_bent(p), 0.1), [0, -6.84, 9.9], [2.2, -6.95, 9.5], 0.14, 0.08)
    philtrum = s.capsule(p, [0, -5.3, 9.85], [0, -5.75, 9.95], 0.2, 0.3)
    under = s.ellipsoid(p, [0, -8.6, 9.9], [1.6, 0.45, 0.8])
    head = s.subtraction(s.union(head, muzzle, blend=1.6), philtrum, blend=0.5)
    head = s.subtraction(head, under, blend=1.0)
    head = s.union(s.union(head, upper, blend=0.3), lower, blend=0.35)
    return s.subtraction(head, crease, blend=0.3)


def _bent(p):
    """Points in a space where the mouth, which follows the teeth, is flat."""
    return torch.stack([p[:, 0], p[:, 1], p[:, 2] + 0.12 * p[:, 0]**2], -1)


def _lips(p):
    """Upper lip, with its bow, and lower lip."""
    bent = _bent(p)
    lobe = s.ellipsoid(s.tilted(s.mirrored(bent, 0.1), [0.95, -6.4, 9.3], [0, 0, -10]), [0, 0, 0], [1.6, 0.5, 0.75])
    upper = s.union(lobe, s.ellipsoid(bent, [0, -6.5, 9.4], [0.7, 0.42, 0.75]), blend=0.4)
    sagging = bent - torch.stack([0 * p[:, 0], 0.07 * p[:, 0]**2, 0 * p[:, 0]], -1)
    return upper, s.ellipsoid(sagging, [0, -7.4, 9.2], [1.9, 0.62, 0.85])


def _ears(m, head):
    q = s.tilted(m, [7.2, -1.0, -0.9], [-12, 24, -10])
    disc = s.ellipsoid(q, [0, 0, 0], [0.55, 3.0, 1.75])
    bowl = s.ellipsoid(q, [0.75, -0.1, 0.25], [0.75, 2.3, 1.2])
    rim = s.torus(q - torch.tensor([0.25, 0.3, 0.0]).to(q), [2.55, 1.5], 0.26)
    inner = s.torus(q - torch.tensor([0.15, -0.35, 0.25]).to(q), [1.35, 0.8], 0.2)
    tragus = s.ellipsoid(q, [0.25, -0.5, 1.35], [0.35, 0.5, 0.35])
    lobe = s.ellipsoid(q, [0.05, -2.6, 0.35], [0.4, 0.75, 0.75])
    ear = s.subtraction(s.union(disc, lobe, blend=0.4), bowl, blend=0.3)
    ear = s.union(s.union(ear, rim, blend=0.3), s.union(inner, tragus, blend=0.2), blend=0.25)
    return s.union(head, ear, blend=0.5)


def _neck(p, m):
    throat = s.capsule(p, [0, -5.0, -2.4], [0, -17, -3.4], 4.6, 5.0)
    muscle = s.capsule(m, [4.8, -5.5, -2.8], [1.3, -16, 1.6], 1.0, 0.9)
    apple = s.ellipsoid(p, [0, -12.2, 2.0], [0.8, 1.2, 0.9])
    return s.union(s.union(throat, muscle, blend=1.4), apple, blend=1.0)


def _shirt(p):
    """Shoulders in a shirt with a round collar."""
    shoulders = s.union(s.ellipsoid(p, [0, -19.2, -3.2], [11.0, 5.4, 6.6]),
                        s.capsule(p, [0, -9, -4.2], [0, -18, -3.2], 5.0, 6.4),
                        blend=2.0)
    collar = p[:, 1] - (-13.8 - 0.22 * (p[:, 2] + 3.5))
    return s.intersection(shoulders, collar, blend=0.5)


def _hair(p, m):
    """Short hair combed back, with grooves along its strands."""
    cap = s.ellipsoid(p, [0, 3.5, -1.1], [8.05, 8.9, 10.3])
    quiff = s.ellipsoid(s.tilted(p, [0.6, 9.6, 4.6], [-20, 0, -6]), [0, 0, 0], [4.8, 2.4, 3.8])
    volume = s.union(cap, quiff, blend=2.5)
    face = s.ellipsoid(m, [0, -1.6, 10.0], [6.3, 8.4, 8.7])
    below = 0.55 * (p[:, 2] - 1.5) - (p[:, 1] + 1.8)
    behind_ear = s.ellipsoid(m, [7.6, -1.8, -0.6], [2.2, 3.4, 2.2])
    hair = s.subtraction(volume, face, blend=0.8)
    hair = s.intersection(hair, below * 0.85, blend=0.8)
    return s.subtraction(hair, behind_ear, blend=0.6) + _strands(p)


def _strands(p):
    angle = torch.atan2(p[:, 0] - 0.8, p[:, 1] - 3.0)
    distance = torch.hypot(p[:, 0] - 0.8, p[:, 1] - 3.0)
    sway = s.noise(p / 4.0, 1)
    wave = torch.sin(16 * angle + 5 * sway) + 0.5 * torch.sin(37 * angle + 9 * sway)
    return 0.11 * wave * s.ramp(distance, 1.0, 5.0)


def head_color(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """RGB in [0, 1] of world points on (or close to) the head's surface."""
    p = _to_head(points)
    parts, m = _parts(p), s.mirrored(p)
    color = _skin_color(p, m)
    color = s.paint(color, LIPS, s.ramp(parts.lips, 0.10, 0.0) * (0.85 + 0.3 * s.noise(p * 3, 2)))
    color = s.paint(color, HAIR, _brows(p, m))
    color = s.paint(color, (0.28, 0.13, 0.10), 0.8 * s.ramp(_nostrils(m), 0.1, -0.02))
    others = torch.minimum(parts.skin, parts.shirt)
    color = torch.lerp(color, _hair_color(p), s.ramp(others - parts.hair, -0.06, 0.06)[:, None])
    clothed = s.ramp(torch.minimum(parts.skin, parts.hair) - parts.shirt, -0.06, 0.06) + (p[:, 1] < BASE + 0.2)
    color = torch.lerp(color, _shirt_color(p), clothed.clamp(max=1)[:, None])
    color = torch.lerp(color, _eye_color(m), s.ramp(parts.skin - parts.ball, -0.02, 0.03)[:, None])
    return color.clamp(0, 1)


def _skin_color(p, m):
    mottle = 0.94 + 0.08 * s.noise(p * 0.9, 3) + 0.05 * s.noise(p * 3.1, 4)
    color = torch.tensor(SKIN).to(p) * mottle[:, None]
    for center, radius, amount in (((4.2, -3.0, 7.0), 2.6, 0.5), ((0, -3.4, 11.0), 1.5, 0.45), ((7.5, -1, -1), 2.5, 0.4),
                                   ((0, -10, 9), 1.8, 0.25)):
        color = s.paint(color, (0.84, 0.50, 0.43), amount * s.ramp(s.sphere(m, center, 0.0), 1.6 * radius, 0.0))
    color = s.paint(color, (0.66, 0.45, 0.40), 0.35 * s.ramp(s.ellipsoid(m, EYE, [1.9, 1.5, 2.5]), 0.35, -0.1))
    freckled = s.ramp(s.ellipsoid(m, (2.2, -2.6, 8.6), (3.6, 1.6, 3.0)), 1.2, -0.6) + 0.25
    freckles = torch.maximum(s.spots(p * 1.6, 5), s.spots(p * 2.6, 6))
    return s.paint(color, (0.62, 0.37, 0.25), 0.8 * freckled * freckles)


def _brows(p, m):
    """The coverage of a point by eyebrow hair."""
    flat = m * torch.tensor([1.0, 1.0, 0.0]).to(m)
    inner = s.capsule(flat, [1.5, 1.95, 0], [3.7, 2.4, 0], 0.40, 0.34)
    outer = s.capsule(flat, [3.7, 2.4, 0], [5.4, 1.7, 0], 0.34, 0.12)
    hairs = s.noise(torch.stack([2.0 * p[:, 0] + 2 * p[:, 1], 9 * p[:, 1] - 6 * p[:, 0], p[:, 2]], -1), 7)
    return s.ramp(torch.minimum(inner, outer) + 0.25 * hairs, 0.16, -0.02) * (p[:, 2] > 3)


def _hair_color(p):
    angle = torch.atan2(p[:, 0] - 0.8, p[:, 1] - 3.0)
    streaks = s.noise(torch.stack([18 * angle, 0.35 * p[:, 2], 0 * angle], -1), 8)
    fine = s.noise(torch.stack([55 * angle, 0.6 * p[:, 2], 0 * angle], -1), 9)
    return torch.tensor(HAIR).to(p) * (0.5 + 0.8 * streaks + 0.4 * fine)[:, None]


def _shirt_color(p):
    knit = 0.85 + 0.3 * s.noise(p * 3.5, 10)
    color = torch.tensor((0.13, 0.36, 0.42)).to(p).expand_as(p)
    color = s.paint(color, (0.88, 0.84, 0.74), s.ramp(torch.sin(3.4 * p[:, 1] + 0.5), 0.35, 0.6))
    return color * knit[:, None]


def _eye_color(m):
    x, y = m[:, 0] - EYE[0], m[:, 1] - EYE[1]
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    fibres = s.noise(torch.stack([6 * torch.cos(angle), 6 * torch.sin(angle), 2 * radius], -1), 11)
    iris = torch.tensor((0.28, 0.46, 0.50)).to(m) * (0.6 + 0.8 * fibres)[:, None]
    iris = s.paint(iris, (0.07, 0.10, 0.12), s.ramp(radius, 0.47, 0.58))
    iris = s.paint(iris, (0.02, 0.02, 0.02), s.ramp(radius, 0.27, 0.21))
    white = s.paint(torch.tensor((0.93, 0.91, 0.88)).to(m).expand_as(m), (0.85, 0.62, 0.58), s.ramp(radius, 0.75, 1.3))
    return torch.lerp(white, iris, s.ramp(radius, 0.62, 0.55)[:, None])


@cache
def _cached_mesh(resolution: int) -> trimesh.Trimesh:
    lower, upper = (torch.tensor(corner) * METRES + torch.tensor(PLACE) for corner in (LOW, HIGH))
    vertices, faces = largest_component(*extract_surface(head_sdf, lower, upper, resolution, chunk=s.CHUNK))
    vertices = s.moved_onto(head_sdf, vertices.double(), longest_step=0.5 * (upper - lower).max().item() / resolution)
    colors = (torch.cat([head_color(part) for part in vertices.split(s.CHUNK)]) * 255).round().to(torch.uint8)
    return trimesh.Trimesh(vertices.numpy(), faces.numpy(), vertex_colors=colors.numpy(), process=False)


def head_mesh(resolution: int = 192) -> trimesh.Trimesh:
    """The head as a closed mesh of one component, with vertex colours, in metres; its vertices lie on the surface exactly.

    Args:
        resolution: cells along the longest side of its box.
    """
    return _cached_mesh(resolution).copy()
