"""Synthetic photographs: a person, drawn from random numbers, before a background and a camera."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from deep3dmap.datasets.faces.synthetic import surroundings
from deep3dmap.datasets.faces.synthetic.camera import photographed
from deep3dmap.datasets.faces.synthetic.heads import DIRECTIONS, MOUTH, TEETH, Head, Wardrobe, dressed
from deep3dmap.datasets.faces.synthetic.lighting import draw_radiance, flat_radiance, irradiance
from deep3dmap.datasets.faces.synthetic.people import Sitter
from deep3dmap.datasets.synthetic import head_appearance as look
from deep3dmap.geometry.visible_surface import sphere_points
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes

MARGIN = 2.3  # side of the picture, in mean sides of the box of the 68 landmarks
WORN = dict(hair=0.45, glasses=0.2, hat=0.08)
HIDDEN = 0.3  # depth behind the drawn surface at which a landmark is hidden, centimetres
VARIED = ("lights", "background", "occlusion", "skin", "camera")
"""What varies between pictures, and can be left out."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A synthetic photograph.

    Attributes:
        image: RGB.
        points: the model's vertices in pixels (centres at integers): x right, y down, z towards the viewer, 0 at the head's
            centre.
        visible: which of the 68 landmarks the head itself doesn't hide.
        sitter: the person.
    """

    image: UInt8[np.ndarray, "s s 3"]
    points: Float[np.ndarray, "v 3"]
    visible: Bool[np.ndarray, "68"]
    sitter: Sitter


def portrait(shared: Wardrobe, size: int, seed: list[int], left_out: Collection[str] = ()) -> Portrait:
    """A random photograph; the same seed gives the same person, pose and accessories, whatever is left out.

    Args:
        shared: of all faces.
        size: pixels along an edge.
        seed: of everything random.
        left_out: names of :data:`VARIED`.
    """
    streams = {name: np.random.default_rng([*seed, k]) for k, name in enumerate(("person", "looks", *VARIED))}
    sitter = Sitter.drawn(shared.draw_identity(streams["person"]), shared.model, streams["person"])
    person = _styled(look.Person.drawn(streams["looks"]), streams["looks"])
    worn = [] if "occlusion" in left_out else _worn(shared, streams["looks"])
    head = dressed(shared, sitter.identity, sitter.expression, worn)
    camera, focal, depth = _camera(shared, head, sitter, size)
    fragments = FastRasterizer()(Meshes.pack([torch.from_numpy(head.vertices).float()], [torch.from_numpy(head.faces)]),
                                 camera)
    color, mask = _colors(head, sitter, person, fragments, streams, left_out)
    points, visible = _labels(shared, head, camera, focal, depth, fragments)
    picture = surroundings.background(size, streams["background"]) if "background" not in left_out else np.full_like(
        color, 0.5)
    if "occlusion" in left_out:
        picture = _over(picture, color, mask)
    else:
        picture = _with_things(picture, color, mask, shared, points, person, streams["occlusion"])
    if "camera" in left_out:
        image = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    else:
        image = photographed(picture, streams["camera"])
    return Portrait(image, points, visible, sitter)


def _styled(person: look.Person, random: np.random.Generator) -> look.Person:
    """The person with a full beard, or with make-up, in a quarter of all cases each."""
    kind = random.random()
    if kind < 0.25:
        return replace(person, beard=random.uniform(0.7, 1.3))
    return replace(person, redness=random.uniform(1.2, 2.4)) if kind < 0.5 else person


def _worn(shared: Wardrobe, random: np.random.Generator) -> list:
    chosen = {kind: random.random() < share for kind, share in WORN.items()}
    chosen["hair"] &= not chosen["hat"]
    return [shared.accessories[kind][random.integers(len(shared.accessories[kind]))] for kind, on in chosen.items() if on]


def _camera(shared: Wardrobe, head: Head, sitter: Sitter, size: int) -> tuple[Cameras, float, float]:
    """A camera that shows the box of the 68 landmarks in the middle; its focal length and the head's depth."""
    landmarks = head.model_vertices[shared.model.landmarks68]
    middle = landmarks.mean(0)
    offset = np.array([0, 0, sitter.distance]) - sitter.rotation @ middle
    seen = landmarks @ sitter.rotation.T + offset
    image = seen[:, :2] / seen[:, 2:]
    focal = size / MARGIN / np.ptp(image, 0).mean()
    centre = size / 2 - focal * (image.min(0) + image.max(0)) / 2
    K = torch.tensor([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]], dtype=torch.float32)
    pose = torch.from_numpy(np.column_stack([sitter.rotation, offset])).float()
    return Cameras(K[None], pose[None], (size, size)), float(focal), float(sitter.distance)


def _labels(shared: Wardrobe, head: Head, camera: Cameras, focal: float, depth: float,
            fragments: Fragments) -> tuple[Float[np.ndarray, "v 3"], Bool[np.ndarray, "68"]]:  # yapf: disable
    """The model's vertices in pixels, and which landmarks are visible."""
    pose, K = camera.world_to_cam[0].numpy().astype(np.float64), camera.K[0].numpy().astype(np.float64)
    seen = head.model_vertices @ pose[:, :3].T + pose[:, 3]
    image = seen[:, :2] / seen[:, 2:] * focal + K[:2, 2] - 0.5
    points = np.column_stack([image, (depth - seen[:, 2]) * focal / depth]).astype(np.float32)
    surface = fragments.to_images(fragments.depth[:, 0], torch.inf)[0].numpy()
    marks = shared.model.landmarks68
    column, row = np.round(points[marks, :2]).astype(int).clip(0, camera.size[0] - 1).T
    return points, seen[marks, 2] < surface[row, column] + HIDDEN


def _colors(head: Head, sitter: Sitter, person: look.Person, fragments: Fragments, streams: dict,
            left_out: Collection[str]) -> tuple[Float[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:  # yapf: disable
    """The head's picture and its coverage."""
    directions = sphere_points(DIRECTIONS)
    random = streams["lights"]
    radiance = flat_radiance(directions) if "lights" in left_out else draw_radiance(directions @ sitter.rotation.T, random)
    light = irradiance(head, directions, radiance, random.uniform(0.7, 1.15))
    surface = visible_surface(head, fragments, light)
    albedo = albedo_of(person, surface, streams["skin"], "skin" in left_out)
    color = shaded(albedo, surface, sitter, brightest(directions, radiance), float(random.uniform(0, 2)))
    images = fragments.to_images(fragments.scatter(color)[:, 0])[0].numpy()
    return images, fragments.to_images(fragments.hit[:, 0].float())[0].numpy()


@dataclass(frozen=True, eq=False)
class VisibleSurface:
    """What covered pixels show of a head.

    Attributes:
        canonical: where the points lie on the mean head.
        material: of the points.
        light: RGB irradiance.
        normal: outward unit normals, in the model's axes.
    """

    canonical: Float[torch.Tensor, "p 3"]
    material: Float[torch.Tensor, " p"]
    light: Float[torch.Tensor, "p 3"]
    normal: Float[torch.Tensor, "p 3"]


def visible_surface(head: Head, fragments: Fragments, light: Float[np.ndarray, "n 3"]) -> VisibleSurface:
    """The points of a head in the covered pixels; ``light`` is that of its vertices."""
    values = np.column_stack([head.canonical, head.material, light, head.normals]).astype(np.float32)
    corners = torch.from_numpy(values)[torch.from_numpy(head.faces)]
    found = fragments.interpolate_filled(corners)
    material = corners[:, 0, 3].index_select(0, fragments.gather(fragments.face))
    return VisibleSurface(found[:, :3], material, found[:, 4:7], torch.nn.functional.normalize(found[:, 7:], dim=-1))


def brightest(directions: Float[np.ndarray, "d 3"], radiance: Float[np.ndarray, "d 3"]) -> Float[np.ndarray, "3"]:
    """The direction that most light comes from; 0 where no light stands out."""
    shine = radiance.sum(1)
    return directions[shine.argmax()] * (shine.max() / shine.mean() > 2)


def shaded(albedo: Float[torch.Tensor, "p 3"], surface: VisibleSurface, sitter: Sitter, main: Float[np.ndarray, "3"],
           amount: float) -> Float[torch.Tensor, "p 3"]:
    """Colours of lit points, with highlights.

    Args:
        albedo: of the points.
        surface: the points.
        sitter: whose rotation says where the camera is.
        main: direction of the light that highlights reflect.
        amount: of the highlights.
    """
    viewer = torch.from_numpy(-sitter.rotation[2]).float()
    halfway = torch.nn.functional.normalize(torch.from_numpy(main).float() + viewer, dim=-1)
    strength, sharpness = look.gloss(surface.material)
    gloss = strength * amount * (surface.normal @ halfway).clamp(min=0)**sharpness
    return albedo * surface.light + gloss[:, None] * surface.light.clamp(max=1)


def albedo_of(person: look.Person, surface: VisibleSurface, random: np.random.Generator,
              plain: bool = False) -> Float[torch.Tensor, "p 3"]:  # yapf: disable
    """Colours of surface points: the person's, with tints and blotches of their own; or plain skin."""
    canonical, material = surface.canonical, surface.material
    color = look.color_of(person, canonical, material)
    bright = (0.85, 0.9) if plain else (random.uniform(0.5, 1.2), random.uniform(0.7, 1.05))
    for kind, own, factor in ((MOUTH, (0.45, 0.16, 0.15), bright[0]), (TEETH, (0.95, 0.90, 0.80), bright[1])):
        color[material == kind] = torch.tensor(own) * float(factor)
    if plain:
        color[material == look.SKIN] = torch.tensor(person.tone)
        return color
    tint = torch.from_numpy(1 + random.normal(0, 0.08, 3)).float() * float(random.uniform(0.45, 1.15))
    scale, shift = float(np.exp(random.uniform(-1.5, 1.0))), torch.from_numpy(random.uniform(0, 32, 3)).float()
    amount = float(random.uniform(0, 0.35))
    blotched = 1 + amount * (look.noise(canonical * scale + shift, 1) - 0.5)
    return (color * tint * blotched[:, None]).clamp(0, 1.2)


def _over(below, above, mask):
    return below + mask[..., None] * (above - below)


def _with_things(picture, color, mask, shared: Wardrobe, points, person: look.Person, random: np.random.Generator):
    """The head over hair behind it; strands, hands and things before it."""
    size, marks = len(picture), points[shared.model.landmarks68]
    brightness = color[mask > 0].mean() / max(np.mean(person.tone), 0.1) if mask.any() else 1.0
    jaw, brow = marks[[0, 16], :2], marks[17:27, :2]
    down = marks[8, :2] - marks[27, :2]
    hair = np.asarray(person.hair) * brightness
    angle = float(np.arctan2(down[1], down[0]))
    if random.random() < 0.7:
        cloth = surroundings.background(size, random) * brightness
        picture = _over(picture, cloth.astype(np.float32), surroundings.torso(marks[8, :2], down, size, random))
    if random.random() < 0.35:
        skull = points[shared.model.faces("head_neck"), :2].reshape(-1, 2)
        skull = skull[shared.model.mean[shared.model.faces("head_neck")].reshape(-1, 3)[:, 1] > 0]
        axis = down / np.linalg.norm(down)
        along, across = skull @ axis, skull @ (axis[1], -axis[0])
        top = axis * along.min() + np.array([axis[1], -axis[0]]) * (across.min() + across.max()) / 2
        texture = surroundings.hair_texture(size, hair * random.uniform(0.5, 1.1), angle, random)
        chin = top + axis * (marks[8, :2] @ axis - along.min())
        picture = _over(picture, texture, surroundings.long_hair(top, chin, float(np.ptp(across)), size, random))
    picture = _over(picture, color, mask)
    if random.random() < 0.08:
        glass = np.full((size, size, 3), random.uniform(0, 0.25), np.float32) + 0.2 * surroundings.blotches(size, random)
        picture = _over(picture, glass, surroundings.lenses(marks[36:48, :2].reshape(2, 6, 2), size, random) * mask)
    if random.random() < 0.3:
        line = np.concatenate([jaw[:1] - 0.4 * down, brow - 0.75 * down, jaw[1:] - 0.4 * down])
        strands = surroundings.fringe(line, 0.6 * down, size, random)
        texture = surroundings.hair_texture(size, hair, angle, random)
        picture = _over(picture, texture, strands)
    if random.random() < 0.25:
        reach = float(np.ptp(marks[:, :2], 0).mean() / 2)
        cover, texture = surroundings.occluder(size, marks[:, :2].mean(0), reach, person.tone, random)
        soft = cv2.GaussianBlur(cover, (0, 0), random.uniform(0.3, 1.5))
        picture = _over(picture, texture * random.uniform(0.3, 1.1), soft)
    return picture
