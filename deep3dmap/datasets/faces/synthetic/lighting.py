"""Light of synthetic faces: radiance over directions, and the irradiance of a head's vertices with soft shadows."""

import numpy as np
from jaxtyping import Float

from deep3dmap.datasets.faces.synthetic.heads import Head

WARM, COLD = np.array([1.0, 0.82, 0.62]), np.array([0.80, 0.90, 1.0])


def draw_radiance(directions: Float[np.ndarray, "d 3"], random: np.random.Generator) -> Float[np.ndarray, "d 3"]:
    """RGB of the light from unit directions in the camera's axes (x right, y down, z forward).

    Light from above and below, with a smooth random environment (spherical harmonics up to degree 2), and up to four lights
    of different sizes; a fifth of the pictures have a flash beside the lens, and a tenth one hard light and little else.
    """
    hard = random.random() < 0.1
    up = 0.5 - 0.5 * directions[:, 1:2]
    sky, ground = _color(random) * random.uniform(0.3, 1.2), _color(random) * random.uniform(0.05, 0.6)
    total = (up * sky + (1 - up) * ground) * (random.uniform(0.05, 0.3) if hard else 1.0)
    total = total * (1 + 0.6 * _harmonics(directions, random)).clip(0.1)
    for _ in range(1 if hard else random.integers(0, 5)):
        toward = random.normal(size=3) + (0, -0.6, -0.5)
        total += lobe(directions, toward, np.exp(random.uniform(0.5, 4.0)), _color(random) * random.uniform(0.2, 2.2))
    if random.random() < 0.2:
        total += lobe(directions, random.normal(0, 0.15, 3) + (0, -0.1, -1), 20.0, _color(random) * random.uniform(0.5, 2.0))
    return total


def flat_radiance(directions: Float[np.ndarray, "d 3"]) -> Float[np.ndarray, "d 3"]:
    """The same light from everywhere."""
    return np.ones_like(directions)


def irradiance(head: Head, directions: Float[np.ndarray, "d 3"], radiance: Float[np.ndarray, "d 3"],
               exposure: float) -> Float[np.ndarray, "n 3"]:
    """RGB irradiance of the vertices; a frontal vertex of mean skin gets about ``exposure``.

    Args:
        head: with normals and open directions in the model's axes.
        directions: in the model's axes.
        radiance: from these directions.
        exposure: of the picture.
    """
    facing = (head.normals.astype(np.float32) @ directions.T.astype(np.float32)).clip(0)
    facing *= head.opened
    light = facing @ radiance.astype(np.float32)
    brightness = np.percentile(light.mean(1)[head.canonical[:, 2] > 7], 80)
    return light * np.float32(exposure / max(brightness, 1e-6))


def _color(random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """White to warm or cold, seldom of any colour."""
    if random.random() < 0.1:
        return random.uniform(0.2, 1, 3)
    return 1 + random.uniform(0, 1) * ((WARM if random.random() < 0.6 else COLD) - 1)


def lobe(directions: Float[np.ndarray, "d 3"], toward: Float[np.ndarray, "3"], sharpness: float,
         color: float | Float[np.ndarray, "3"]) -> Float[np.ndarray, "d 3"]:  # yapf: disable
    """RGB of the light from unit directions near one: of about the same sum for every sharpness."""
    cosine = directions @ (toward / np.linalg.norm(toward))
    return np.exp(sharpness * (cosine - 1))[:, None] * color * (1 + 0.5 * sharpness)


def _harmonics(d, random: np.random.Generator) -> Float[np.ndarray, "d 3"]:
    """A random combination of the real spherical harmonics of degrees 1 and 2, mostly grey."""
    x, y, z = d.T
    basis = np.stack([x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1) * [1, 1, 1, 2, 2, 0.6, 2, 1]
    return basis @ (random.normal(0, 0.35, (8, 1)) + random.normal(0, 0.12, (8, 3)))
