"""Cost of drawing meshes and of distances between point sets and meshes, against growing work, for all installed renderers.

Each image shows one mesh in the unit sphere, which covers about half of it, from one camera. Cost should grow with the faces,
the covered pixels and the fragments, not with the product of faces and pixels.
"""

import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from deep3dmap.benchmarks.cases import Work, choose
from deep3dmap.benchmarks.measuring import in_own_process, least_cost, result_line
from deep3dmap.benchmarks.work import Job
from deep3dmap.engine.hooks.log import peak_memory_mib
from deep3dmap.engine.launching import choose_device
from deep3dmap.errors import DataError
from deep3dmap.geometry.lookat import look_at
from deep3dmap.geometry.triangles import sample_surface
from deep3dmap.losses.chamfer import Clouds, chamfer
from deep3dmap.losses.mesh import point_mesh_loss
from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.mesh import Lights, VertexColors
from deep3dmap.structures import Cameras, Meshes

#: ``sigma`` of soft edges, and the blur radius beyond which their opacity is below 0.0001.
SIGMA = 1e-4
BLUR = math.log(1e4 - 1) * SIGMA
#: Pixels along the side of images, where constant; and in quick mode.
SIDE, QUICK_SIDE = 256, 32
#: Standard deviation of the noise of one of the two point clouds.
NOISE = 0.05
LIGHTS = Lights(location=(1.0, 2.0, 3.0))


@dataclass(frozen=True)
class Drawing:
    """A rendering setting: the shader's values, the faces kept in each pixel, and whether gradients are computed as well."""

    shading: str
    blending: str
    faces_per_pixel: int
    gradients: bool


@dataclass(frozen=True)
class Renderer:
    """A renderer to measure.

    Attributes:
        rasterizer: registered name of its rasteriser, or None for a whole renderer.
        shader: registered name of its shader, or of the whole renderer.
        package: that must be installed, if any.
        ways: names of the settings that it supports; all by default.
        most: largest amounts of work by kind, for renderers whose cost grows faster.
    """

    rasterizer: str | None
    shader: str
    package: str | None = None
    ways: tuple[str, ...] | None = None
    most: Mapping[str, int] = field(default_factory=dict)

    def build(self, drawing: Drawing) -> nn.Module:
        """The renderer for one setting."""
        if self.rasterizer is None:
            return build_part(dict(type=self.shader), RENDERERS)
        blur = BLUR if drawing.blending in ("sigmoid", "softmax") else 0.0
        rasterizer = dict(type=self.rasterizer, faces_per_pixel=drawing.faces_per_pixel, blur_radius=blur)
        shader = dict(type=self.shader, shading=drawing.shading, blending=drawing.blending, sigma=SIGMA)
        return build_part(dict(type="MeshRenderer", rasterizer=rasterizer, shader=shader), RENDERERS)


_STYLES = dict(hard=("none", "hard", 1), outline=("none", "outline", 1), soft=("none", "sigmoid", 8),
               phong=("phong", "softmax", 8))  # yapf: disable
WAYS = {name + " with gradients" * gradients: Drawing(*style, gradients) for name, style in _STYLES.items()
        for gradients in (False, True)}  # yapf: disable
THEIRS = tuple(name for name, way in WAYS.items() if way.blending != "outline")

OURS, PYTORCH3D = "ours", "pytorch3d"
RENDERERS_MEASURED = {
    OURS: Renderer("FastRasterizer", "MeshShader"),
    "torch": Renderer("TorchRasterizer", "MeshShader", most=dict(faces=100_000, pixels=256, slots=8)),
    "deodr": Renderer(None, "DeodrRenderer", "deodr", ("hard", "hard with gradients")),
    PYTORCH3D: Renderer("PyTorch3DRasterizer", "PyTorch3DShader", "pytorch3d", THEIRS, dict(faces=30_000, pixels=512)),
}

DRAWN = {
    "faces": Work("faces", (1_280, 20_480, 327_680, 1_310_720), (80, 320)),
    "pixels": Work("pixels a side", (64, 128, 256, 512, 1024), (16, 32)),
    "slots": Work("faces a pixel", (1, 2, 4, 8, 16, 32), (1, 2)),
}
DISTANCES = {
    "chamfer": Work("points", (10_000, 50_000), (50, 100)),
    "point_mesh": Work("points", (10_000, ), (50, )),
}
WORK = {**DRAWN, **DISTANCES}


def benchmark(*,
              quick: bool = False,
              renderers: Iterable[str] | str | None = None,
              ways: Iterable[str] | None = None,
              only: Iterable[str] | str | None = None,
              device: str = "auto",
              mesh: str | Path | None = None,
              write: Callable[[str], Any] = print) -> list[dict]:
    """Measure renderers on growing work; arguments and errors as of :func:`deep3dmap.benchmarks.cost.benchmark`.

    Args:
        renderers: some, instead of all that are installed.
        ways: some settings, instead of all.
        mesh: rendered where the faces are constant, instead of a torus of 5,856 faces.
    """
    if mesh:
        read(mesh)  # an unreadable file is reported before the first measurement
    chosen = choose(renderers, RENDERERS_MEASURED, "network")
    chosen = [name for name in chosen if renderers is not None or _installed(RENDERERS_MEASURED[name])]
    ways = choose(ways, WAYS, "variant")
    cases = [dict(name=name, network=renderer, variant=variant, work=work, unit=WORK[name].unit)
             for name in choose(only, WORK, "measurement") for renderer in chosen
             for variant in ways_of(name, renderer, ways) for work in amounts_of(name, renderer, quick)]  # yapf: disable
    common, results = dict(method="render", device=device, quick=quick, mesh=str(mesh) if mesh else None), []
    for case in cases:
        what = f"{case['name']} with {case['unit']}={case['work']} by '{case['network']}'"
        results.append(in_own_process(measure, case | common, what))
        write(json.dumps(results[-1]))
    return results


def ways_of(name: str, renderer: str, ways: Iterable[str]) -> list[str]:
    """The chosen settings with which a renderer is measured on a kind of work."""
    if name in DISTANCES:
        return ["with gradients"] * (renderer in (OURS, PYTORCH3D))
    known = RENDERERS_MEASURED[renderer].ways or WAYS
    return [way for way in ways if way in known and (name != "slots" or WAYS[way].faces_per_pixel > 1)]


def amounts_of(name: str, renderer: str, quick: bool) -> list[int]:
    """The amounts of a kind of work that a renderer is measured on."""
    amounts = WORK[name].quick if quick else WORK[name].amounts
    return [amount for amount in amounts if amount <= RENDERERS_MEASURED[renderer].most.get(name, amount)]


def _installed(renderer: Renderer) -> bool:
    return renderer.package is None or importlib.util.find_spec(renderer.package) is not None


# --- in the process of one case -------------------------------------------------------------------------------------------


def measure(case: Mapping) -> dict:
    """Cost of one case; see docs/benchmarks.md for the result."""
    torch.manual_seed(0)
    device = choose_device(case["device"])
    job, counts = (_distance if case["name"] in DISTANCES else _picture)(case, device)
    job.warm_up()
    base = peak_memory_mib(device)
    job.run()
    cpu, wall, runs = least_cost(job, device, case["quick"])
    memory = dict(peak_mib=round(peak_memory_mib(device), 1), base_mib=round(base, 1), runs=runs)
    return result_line(case, device, cpu, wall) | memory | counts()


def _picture(case: Mapping, device: torch.device) -> tuple[Job, Callable[[], dict]]:
    """Rendering one image, and the numbers of its covered pixels and fragments."""
    drawing = WAYS[case["variant"]]
    if case["name"] == "slots":
        drawing = replace(drawing, faces_per_pixel=case["work"])
    renderer = RENDERERS_MEASURED[case["network"]].build(drawing).to(device)
    meshes = sphere(case["work"]) if case["name"] == "faces" else read(case["mesh"]) if case["mesh"] else ring()
    side = case["work"] if case["name"] == "pixels" else QUICK_SIDE if case["quick"] else SIDE

    def draw(meshes: Meshes, side: int):
        vertices = meshes.vertices.clone().requires_grad_(drawing.gradients)
        images = renderer(meshes.with_vertices(vertices),
                          camera(side).to(device), VertexColors(meshes.vertices / 2 + 0.5), LIGHTS)
        if drawing.gradients:
            (images.color.sum() + images.alpha.sum()).backward()
        return images

    def counts() -> dict:
        images = draw(meshes, side)
        drawn = {} if images.fragments is None else dict(fragments=int(images.fragments.hit.sum()))
        return dict(covered=int((images.alpha > 0).sum())) | drawn

    meshes = meshes.to(device)
    return Job(lambda: draw(meshes, side), warm_up=lambda: draw(sphere(20).to(device), 16)), counts


def _distance(case: Mapping, device: torch.device) -> tuple[Job, Callable[[], dict]]:
    """A distance between point sets, or of points and a mesh, and its gradients."""
    meshes = (read(case["mesh"]) if case["mesh"] else ring()).to(device)
    points, others = (sample_surface(meshes.vertices, meshes.faces, case["work"]).detach() for _ in range(2))
    points, others = (points + NOISE * torch.randn_like(points)).requires_grad_(), others.requires_grad_()
    vertices = meshes.vertices.clone().requires_grad_()
    ours = case["network"] == OURS

    def distance() -> Tensor:
        if case["name"] == "chamfer":
            pair = points[None], others[None]
            return chamfer(*map(Clouds, pair))[0] if ours else _their_chamfer(*pair)
        moved = meshes.with_vertices(vertices)
        return point_mesh_loss(moved, points[None]) if ours else _their_point_mesh(moved, points)

    return Job(lambda: distance().backward()), lambda: dict(faces=len(meshes.faces))


def _their_chamfer(x: Tensor, y: Tensor) -> Tensor:
    from pytorch3d.loss import chamfer_distance
    return chamfer_distance(x, y)[0]


def _their_point_mesh(meshes: Meshes, points: Tensor) -> Tensor:
    from pytorch3d import loss, structures
    return loss.point_mesh_face_distance(structures.Meshes([meshes.vertices], [meshes.faces]),
                                         structures.Pointclouds([points]))


# --- scenes ---------------------------------------------------------------------------------------------------------------


def camera(side: int) -> Cameras:
    """One camera that sees the unit ball, a little from above."""
    K = torch.tensor([[[1.3 * side, 0, side / 2], [0, 1.3 * side, side / 2], [0, 0, 1]]])
    return Cameras(K, look_at(torch.tensor([[0.8, 1.0, 2.7]]), up=(0.0, 1.0, 0.0)), (side, side))


def sphere(faces: int) -> Meshes:
    """A sphere with 20, 80, 320 ... faces."""
    return Meshes.from_trimesh(trimesh.creation.icosphere(round(math.log(faces / 20, 4)), 0.9))


def ring() -> Meshes:
    """A torus of 5,856 faces."""
    return Meshes.from_trimesh(trimesh.creation.torus(0.6, 0.35, major_sections=61, minor_sections=48))


def read(path: str | Path) -> Meshes:
    """A mesh from a file, moved into the unit sphere; vertices along texture seams are merged.

    Raises:
        DataError: if it can't be read.
    """
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: can't be read as a mesh: {error}") from None
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.apply_translation(-mesh.bounds.mean(0))
    return Meshes.from_trimesh(mesh.apply_scale(1 / np.linalg.norm(mesh.vertices, axis=1).max()))
