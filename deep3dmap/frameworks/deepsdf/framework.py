"""DeepSDF: Park et al., "DeepSDF: Learning Continuous Signed Distance Functions for Shape Representation", CVPR 2019.

An auto-decoder: every shape of the training set has a code, and codes and decoder are trained together (eq. 9). A new shape's
code is found with the decoder frozen (eq. 10).
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Count, NotNegative, Positive
from deep3dmap.datasets.shapes.sdf_samples.layout import is_plain
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.deepsdf.fitting import FitOptions, FittedCode, fit_code
from deep3dmap.frameworks.deepsdf.observations import Observations
from deep3dmap.frameworks.step_chunks import SplitSteps
from deep3dmap.geometry.meshing import NoSurfaceError, extract_surface
from deep3dmap.geometry.triangles import largest_component
from deep3dmap.io.reading import printable
from deep3dmap.processes import SharedDraws
from deep3dmap.registry import BACKBONES, FRAMEWORKS, nearest
from deep3dmap.structures import Reconstruction

#: Half the edge of the cube in which shapes lie, normalised units.
REACH = 1.0


@FRAMEWORKS.register_module()
class DeepSDF(SplitSteps):
    """A shape space learned from signed-distance samples of many shapes.

    Args:
        decoder: config of the decoder.
        losses: terms by name: ``sdf`` (of the distances) and ``code`` (of the codes).
        code_bound: maximum norm of codes at lookup; None for no bound.
        code_std: initial standard deviation of the codes' entries, times the square root of their number.
        fit: options of the fitting of new shapes, see :class:`FitOptions`.
        resolution: of the meshes of new shapes.
        input_keys: see :class:`deep3dmap.frameworks.base.Framework`.
        step_chunk: shapes that go forward and backward at once in training; None for all of a batch.
    """

    item_keys, shared_keys = ("points", ), ("batch_shapes", )
    items = {"points": "shapes"}
    mixed_precision = True

    def __init__(self,
                 decoder: Mapping,
                 losses: Mapping[str, Mapping],
                 code_bound: Positive | None = 1.0,
                 code_std: NotNegative = 1.0,
                 fit: Mapping | None = None,
                 resolution: Count = 256,
                 input_keys: Sequence[str] | Mapping[str, str] | None = None,
                 step_chunk: int | None = None):
        super().__init__(losses=losses, input_keys=input_keys, step_chunk=step_chunk)
        self.decoder = BACKBONES.build(dict(type="DeepSDFDecoder") | dict(decoder))
        self.code_bound, self.code_std, self.resolution = code_bound, code_std, resolution
        try:
            self.fit_options = FitOptions(**(fit or {}))
        except TypeError as error:
            known = FitOptions.__dataclass_fields__
            wrong = next((key for key in fit if key not in known), None)
            raise ConfigError(
                f"fit: {error if wrong is None else f'unknown option {wrong}: {nearest(wrong, known)}'}") from None
        self.codes: nn.Embedding | None = None
        self.names: list[str] = []

    def setup(self, info: Mapping) -> None:
        """Create a code for every training shape.

        Raises:
            DataError: if the data name no shapes, or names and normalisations are not those of ``SDFShapes``.
        """
        _check_shapes(info)
        self.names, length = list(info["shapes"]), self.decoder.code_length
        self.codes = nn.Embedding(len(self.names), length).to(self.device)
        nn.init.normal_(self.codes.weight, 0.0, self.code_std / math.sqrt(length))
        self.register_buffer("offsets", info["offsets"].clone(), persistent=False)
        self.register_buffer("scales", info["scales"].clone(), persistent=False)

    def forward(self, inputs: dict, mode: str = "tensor") -> dict:
        """See :class:`deep3dmap.frameworks.base.Framework`; inputs are those of ``SDFShapes``, or ``SDFTestShapes``."""
        if mode == "predict":
            return self.predict(inputs)
        codes = self.codes(inputs["shape"])
        outputs = dict(sdf=self.decoder(codes, inputs["points"]), codes=codes)
        if mode == "tensor":
            return outputs
        return self.compute_losses(outputs, inputs) | {"code_length": codes.detach().norm(dim=1).mean()}

    def draw(self, inputs: dict, common: SharedDraws) -> dict:
        """Clip the norms of the codes of the batch's shapes, identically in all processes."""
        if self.code_bound is not None:
            shapes = inputs.get("batch_shapes", inputs["shape"])
            with torch.no_grad():
                torch.embedding_renorm_(self.codes.weight.data, shapes, self.code_bound, 2.0)
        return inputs

    def number_of(self, shape: str | int) -> int:
        """The index of a training shape, given its name (also without data set and class) or its index.

        Raises:
            DataError: if there is no such shape, or several.
        """
        if self.codes is None:
            raise DataError("this DeepSDF has no codes: it is neither trained nor loaded")
        if isinstance(shape, str):
            matches = [k for k, name in enumerate(self.names) if name == shape or name.rpartition("/")[2] == shape]
            if len(matches) != 1:
                problem = f"{len(matches)} training shapes are named" if matches else "no training shape is named"
                known = {*self.names, *(name.rpartition("/")[2] for name in self.names)}
                raise DataError(f"{problem} '{shape}': {nearest(shape, known)}")
            return matches[0]
        if not 0 <= shape < len(self.names):
            raise DataError(f"shape {shape}: there are {len(self.names)} training shapes, counted from 0")
        return shape

    def code_of(self, shape: str | int) -> Float[Tensor, "l"]:
        """The code of a training shape; see :meth:`number_of`."""
        return self.codes.weight[self.number_of(shape)].detach()

    def fit(self, observations: Observations, *, generator: torch.Generator | None = None, **options) -> FittedCode:
        """The code of a new shape; ``options`` replace those of the config, see :class:`FitOptions`."""
        merged = FitOptions(**(vars(self.fit_options) | options))
        return fit_code(self.decoder, observations.to(self.device), merged, generator=generator)

    @torch.no_grad()
    def extract_mesh(self,
                     resolution: int = 256,
                     shape: str | int | None = None,
                     code: Float[Tensor, "l"] | None = None,
                     normalized: bool = False,
                     color: bool = True,
                     largest: bool = False,
                     **options) -> trimesh.Trimesh:
        """The mesh of a training shape, of any code, or of the mean of all codes.

        Args:
            resolution: cells along an edge of the cube around the unit sphere.
            shape: name or number of a training shape; its mesh is in its own frame and units, if known.
            code: of the shape instead.
            normalized: keep a training shape in its normalised frame.
            color: ignored; shapes have no colours.
            largest: keep only the largest connected component.
            options: of :func:`deep3dmap.geometry.meshing.extract_surface`.

        Raises:
            NoSurfaceError: if there is no surface.
        """
        number = None if shape is None else self.number_of(shape)
        if number is not None:
            code = self.codes.weight[number]
        elif code is None:
            code = self.codes.weight.mean(0)
        vertices, faces = self.surface(code, resolution, **options)
        if largest:
            vertices, faces = largest_component(vertices, faces)
        vertices = vertices.cpu().double()
        if number is not None and not normalized:
            vertices = vertices / self.scales[number].cpu() - self.offsets[number].cpu()
        return trimesh.Trimesh(vertices.numpy(), faces.cpu().numpy(), process=False)

    @torch.no_grad()
    def surface(self, code: Float[Tensor, "l"], resolution: int, **options) -> tuple[Tensor, Tensor]:
        """Vertices and faces of a code's shape, in the normalised frame; see :meth:`extract_mesh`."""
        if resolution < 2:
            raise ConfigError(f"resolution={resolution}: a mesh needs at least 2 cells along an edge")
        reach = torch.full((3, ), REACH, device=self.device)
        return extract_surface(self.decoder.field(code.to(self.device)), -reach, reach, resolution, **options)

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The shape that fits the samples of one of ``SDFTestShapes``: its mesh, in its own frame, and its code; with a
        ``resolution`` of 0 the mesh has the model's."""
        found = self.predict(self.prepare_inputs(batch, False), resolution or self.resolution)
        found = {key: value.detach().cpu() for key, value in found.items()}
        mesh = trimesh.Trimesh(found.pop("vertices").numpy(), found.pop("faces").numpy(), process=False)
        yield Reconstruction(batch["name"], mesh=mesh if len(mesh.faces) else None, arrays=found)

    def predict(self, inputs: Mapping, resolution: int | None = None) -> dict[str, Tensor]:
        """Reconstruct a shape from ``positive`` and ``negative`` samples.

        Args:
            inputs: these, and ``offset`` (3,) and ``scale`` of the shape's normalisation, if it has one.
            resolution: of the mesh; the model's by default.

        Returns:
            ``code`` (l,), the fit's ``losses`` (i,), ``vertices`` (v, 3) in the shape's own frame and ``faces`` (f, 3), empty
            if the code has no surface.
        """
        fitted = self.fit(Observations(inputs["positive"], inputs["negative"]), generator=torch.Generator().manual_seed(0))
        try:
            vertices, faces = self.surface(fitted.code, resolution or self.resolution)
        except NoSurfaceError:
            vertices, faces = torch.empty(0, 3), torch.empty(0, 3, dtype=torch.long)
        vertices = vertices.cpu().double() / inputs.get("scale", 1.0) - torch.as_tensor(inputs.get("offset", 0.0)).cpu()
        return dict(code=fitted.code, losses=torch.tensor(fitted.losses), vertices=vertices, faces=faces)


def _check_shapes(info: Mapping) -> None:
    """Refuse invalid information about the training shapes; meshes are written to files of their names."""
    source, names = info.get("source", "the data"), info.get("shapes")
    if not names:
        raise DataError(f"{source}: DeepSDF needs a dataset of named shapes, such as SDFShapes")
    wrong = [name for name in names if not (isinstance(name, str) and all(map(is_plain, name.split("/"))))]
    if wrong or len(set(names)) < len(names):
        raise DataError(f"{source}: {printable(str(wrong[0]))!r} can't be the name of a shape"
                        if wrong else f"{source}: two shapes have the same name")
    for key, shape in (("offsets", (len(names), 3)), ("scales", (len(names), ))):
        values = info.get(key)
        if not isinstance(values, Tensor) or values.shape != shape or not values.isfinite().all():
            raise DataError(f"{source}: '{key}' must be {shape} finite numbers")
    if not (info["scales"] > 0).all():
        raise DataError(f"{source}: 'scales' must be positive")
