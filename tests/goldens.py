"""The parity fixtures: what is in them, of whatever sizes and settings they are.

Tests read sizes, settings and the names of cases from the files, so other measurements of the same layout may stand in their
place.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "data" / "goldens"


def read(name: str) -> Mapping[str, np.ndarray]:
    """The arrays of a fixture: ``read('idr/embedder')``."""
    return np.load(FOLDER / f"{name}.npz")


def manifest(method: str) -> dict:
    """What is known of a method's published configurations."""
    return json.loads((FOLDER / method / "manifest.json").read_text())


def cases(name: str, pattern: str) -> list[str]:
    """What the group of a pattern matches among a fixture's arrays: the names of the cases in it."""
    found = [m[1] for key in read(name).files if (m := re.fullmatch(pattern, key))]
    assert found, f"{name}: no array matches {pattern}"
    return sorted(set(found))


def files(pattern: str) -> list[str]:
    """What ``*`` stands for in the names of the fixtures that match: ``files('idr/ray_tracing_*')``."""
    start = pattern.rpartition("/")[2].index("*")
    found = sorted(path.stem[start:] for path in FOLDER.glob(f"{pattern}.npz"))
    assert found, f"no fixture matches {pattern}"
    return found


def text(golden: Mapping[str, np.ndarray], key: str = "config") -> dict:
    """An array of JSON text."""
    return json.loads(str(golden[key]))


def tensor(array: np.ndarray) -> Tensor:
    """A copy that may be written to."""
    return torch.from_numpy(np.array(array))


def tensors(golden: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The arrays below a prefix, such as a ``state/``, by the rest of their names."""
    return {key.removeprefix(prefix): tensor(golden[key]) for key in golden.files if key.startswith(prefix)}


def pictures(array: np.ndarray) -> Tensor:
    """Stored bytes as pictures in [-1, 1]."""
    return tensor(array).float() / 127.5 - 1


def network_of(state: Mapping[str, Tensor]) -> nn.Module:
    """The signed distance network that has these weights, where no configuration is kept beside them."""
    from deep3dmap.backbones import SDFNetwork
    from deep3dmap.frameworks.idr.published import infer_geometry
    network = SDFNetwork(**infer_geometry({f"implicit_network.{name}": value for name, value in state.items()}))
    network.load_state_dict(state)
    return network


def tracer_options(config: Mapping) -> dict:
    """Arguments of ``SphereTracer`` for the ray tracer's section of a published configuration."""
    return dict(radius=config["object_bounding_sphere"], sdf_threshold=config["sdf_threshold"],
                line_search_step=config["line_search_step"], line_search_iterations=config["line_step_iters"],
                iterations=config["sphere_tracing_iters"], samples=config["n_steps"],
                secant_steps=config["n_secant_steps"])  # yapf: disable


def assert_near(actual: Tensor, expected: Tensor, tolerance: float, name: str = "") -> None:
    """Two arrays differ by at most so much of the second one's norm: how the fixtures' gradients are compared."""
    error = (actual - expected).norm()
    assert error <= tolerance * expected.norm(), f"{name}: {error / expected.norm():.1e} of its norm"


def assert_same_faces(mesh: tuple, expected: tuple, tolerance: float) -> None:
    """Two meshes have the same faces, corner by corner in the same sense of rotation, whatever order they are stored in."""
    from scipy.spatial import cKDTree
    ours, theirs = (np.asarray(vertices, np.float64)[np.asarray(faces)] for vertices, faces in (mesh, expected))
    assert len(ours) == len(theirs)
    for some, others in ((ours, theirs), (theirs, ours)):
        turned = np.concatenate([np.roll(others, k, 1).reshape(-1, 9) for k in range(3)])
        assert cKDTree(turned).query(some.reshape(-1, 9))[0].max() < 3**0.5 * tolerance
