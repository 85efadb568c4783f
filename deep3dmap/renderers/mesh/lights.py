"""Lights and materials, and the reflected light of a surface (Phong, "Illumination for computer generated
pictures", 1975)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, relu

Color = Sequence[float] | Float[Tensor, "*n 3"]


@dataclass(frozen=True)
class Material:
    """RGB reflectance for each kind of light, and the exponent of the highlights."""

    ambient: Color = (1.0, 1.0, 1.0)
    diffuse: Color = (1.0, 1.0, 1.0)
    specular: Color = (1.0, 1.0, 1.0)
    shininess: float | Float[Tensor, "*n"] = 64.0


PLAIN = Material()


@dataclass(frozen=True)
class Lights:
    """One light source and ambient light; RGB of each part.

    Attributes:
        location: of a light in the world, (3,) or one for each image (n, 3); or None.
        direction: towards a distant light, in the world, (3,) or (n, 3); or None.
        ambient: ambient light.
        diffuse: diffusely reflected part of the light.
        specular: specularly reflected part of the light.
    """

    location: Sequence[float] | Float[Tensor, "*n 3"] | None = None
    direction: Sequence[float] | Float[Tensor, "*n 3"] | None = None
    ambient: Color = (0.5, 0.5, 0.5)
    diffuse: Color = (0.3, 0.3, 0.3)
    specular: Color = (0.2, 0.2, 0.2)

    def __post_init__(self):
        if self.location is not None and self.direction is not None:
            raise ValueError("a light has a location or a direction, not both")


def check_lights(lights: Lights | None, material: Material, images: int) -> None:
    """Check that values given per image have one row for each image.

    Raises:
        ValueError: that names the value.
    """
    for owner in (lights, material):
        for name, value in vars(owner).items() if owner is not None else ():
            rows = torch.as_tensor(() if value is None else value)
            if rows.dim() > (name != "shininess") and len(rows) != images:
                raise ValueError(f"{type(owner).__name__}.{name} has {len(rows)} rows, but there are {images} images")


def illuminate(points: Float[Tensor, "m 3"], normals: Float[Tensor, "m 3"], centers: Float[Tensor, "m 3"], image: Tensor,
               lights: Lights, material: Material) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m 3"]]:
    """The light that surface points reflect towards their cameras.

    Args:
        points: in the world.
        normals: outward, of any length.
        centers: of each point's camera.
        image: index of each point's image, for values given per image.
        lights: that shine.
        material: of the surface.

    Returns:
        The factor of the surface's own colour (ambient and diffuse), and what is added to it (specular).
    """

    def of(value) -> Tensor:
        value = torch.as_tensor(value).to(points)
        return value[image] if value.dim() > 1 else value

    ambient = of(material.ambient) * of(lights.ambient)
    if lights.location is None and lights.direction is None:
        return ambient.expand_as(points), torch.zeros_like(points)
    towards = of(lights.location) - points if lights.direction is None else of(lights.direction).expand_as(points)
    towards, normals = (normalize(x, dim=-1, eps=1e-6) for x in (towards, normals))
    cosine = (normals * towards).sum(-1, keepdim=True)
    mirrored = 2 * cosine * normals - towards
    view = normalize(centers - points, dim=-1, eps=1e-6)
    shininess = torch.as_tensor(material.shininess).to(points)
    highlight = relu((view * mirrored).sum(-1, keepdim=True)) * (cosine > 0)
    highlight = highlight**(shininess[image][:, None] if shininess.dim() else shininess)
    diffuse = of(material.diffuse) * of(lights.diffuse) * relu(cosine)
    return ambient + diffuse, of(material.specular) * of(lights.specular) * highlight
