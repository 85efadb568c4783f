"""A page of a mesh that grows, with the cameras that see it, served while a method runs."""

import contextlib
import io
from types import ModuleType

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from deep3dmap.errors import MissingDependencyError
from deep3dmap.visualization.viewer import GREY

HOST = "127.0.0.1"  # this machine only
REACH = 0.15  # metres: length of the drawn cameras
AWAY = 2.5  # of the page's camera at the beginning, in radii of the mesh


class OnlineViewer:
    """Serves the page, from the first free port after 8080 on, until it is closed.

    Attributes:
        address: of the page.

    Raises:
        MissingDependencyError: without viser.
    """

    def __init__(self):
        viser = load_viser()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a table
            self.server = viser.ViserServer(host=HOST, label="deep3dmap", verbose=False)
        self.address, self._shown = f"http://{HOST}:{self.server.get_port()}", 0

    def show(self, mesh: trimesh.Trimesh, up: Float[np.ndarray, "3"], poses: Float[np.ndarray, "n 4 4"],
             K: Float[np.ndarray, "n 3 3"], images: UInt8[np.ndarray, "n h w 3"]) -> None:  # yapf: disable
        """Replace the mesh and the cameras.

        Args:
            mesh: of surfaces seen from their front.
            up: unit vector in the mesh's frame.
            poses: camera to the mesh's frame, metres.
            K: pinhole matrices of the pictures.
            images: the pictures.
        """
        scene = self.server.scene
        with self.server.atomic():
            if not self._shown:
                scene.set_up_direction(up)
                self._look_at(np.asarray(mesh.vertices), up, poses)
            _add_mesh(scene, mesh)
            for k, (pose, camera, image) in enumerate(zip(poses, K, images)):
                height, width = image.shape[:2]
                field = 2 * np.arctan(height / 2 / camera[1, 1])
                scene.add_camera_frustum(f"/cameras/{k}", field, width / height, scale=REACH, image=image,
                                         wxyz=_quaternion(pose), position=pose[:3, 3])  # yapf: disable
            for k in range(len(poses), self._shown):
                scene.remove_by_name(f"/cameras/{k}")
        self._shown = len(poses)

    def _look_at(self, vertices: Float[np.ndarray, "v 3"], up: Float[np.ndarray, "3"],
                 poses: Float[np.ndarray, "n 4 4"]) -> None:  # yapf: disable
        """Begin behind the cameras and above, as they see the surfaces' fronts."""
        center = vertices.mean(0)
        radius = np.linalg.norm(vertices - center, axis=1).mean()
        direction = poses[:, :3, 2].mean(0) - up
        eye = center - AWAY * radius * direction / max(np.linalg.norm(direction), 1e-9)
        for camera in (self.server.initial_camera, *(client.camera for client in self.server.get_clients().values())):
            camera.position, camera.look_at = eye, center

    def close(self) -> None:
        """End the page."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()


def load_viser() -> ModuleType:
    """The package that serves the page.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import viser
    except ImportError:
        raise MissingDependencyError("a page of the growing mesh (--online) needs viser: pip install viser (or "
                                     "deep3dmap[viewer])") from None
    return viser


def _add_mesh(scene, mesh: trimesh.Trimesh) -> None:
    if mesh.visual.kind == "vertex":
        scene.add_mesh_trimesh("/mesh", mesh)
    else:
        scene.add_mesh_simple("/mesh", np.asarray(mesh.vertices), np.asarray(mesh.faces), color=(GREY, GREY, GREY))


def _quaternion(pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4"]:
    """The rotation of a pose, its real part first."""
    return Rotation.from_matrix(pose[:3, :3]).as_quat()[[3, 0, 1, 2]]
