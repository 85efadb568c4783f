"""The files of a face, and the two crops from which it is found."""

import io
import json

import numpy as np
import pytest
import torch
import trimesh
from scipy.io import loadmat

from deep3dmap.frameworks import PRNet
from deep3dmap.frameworks.prnet.outputs import Outputs
from tests.frameworks.prnet.placed_faces import LAYOUT, disc, placed


def loaded(data: bytes, kind: str) -> trimesh.Trimesh:
    return trimesh.load_mesh(io.BytesIO(data), file_type=kind, process=False)


@pytest.fixture(scope="module")
def face():
    return placed(yaw=25.0, roll=5.0)


@pytest.fixture(scope="module")
def result(face):
    return Outputs(texture_size=64, hidden="grey", obj=True, mat=True).of("someone", face)


def test_the_mesh_is_the_surface_with_y_up_its_triangles_seen_from_the_front(face, result):
    assert np.allclose(result.mesh.vertices * [1, -1, 1] + [0, 119, 0], face.vertices.numpy(), atol=1e-4)
    assert (result.mesh.face_normals[:, 2] * result.mesh.area_faces).sum() > 0.3 * result.mesh.area
    assert (result.mesh.visual.vertex_colors[:, 0] - face.vertices[:, 0].numpy()).max() <= 1  # the picture's red is the column


@pytest.mark.parametrize("name", ["mesh.glb", "mesh.obj"])
def test_textured_meshes_have_the_colour_of_the_photograph_where_it_shows_them(face, result, name):
    resolver = trimesh.resolvers.ZipResolver({key: io.BytesIO(data) for key, data in result.files.items()})
    mesh = trimesh.load_mesh(io.BytesIO(result.files[name]), file_type=name[-3:], process=False, resolver=resolver)
    uv = np.asarray(mesh.visual.uv)
    material = mesh.visual.material
    picture = np.asarray(getattr(material, "image", None) or material.baseColorTexture)
    assert picture.shape[:2] == (64, 64)
    texel = np.stack([(uv[:, 0] * 64), (1 - uv[:, 1]) * 64], 1).astype(int).clip(0, 63)
    nearest = torch.cdist(torch.tensor(mesh.vertices[::50].copy()), torch.tensor(result.mesh.vertices.copy())).argmin(1)
    shown = face.visible[nearest].numpy()
    red = picture[texel[::50, 1], texel[::50, 0], 0].astype(float)
    assert np.median(np.abs(red - mesh.vertices[::50, 0])[shown]) < 2


def test_landmarks_and_pose_are_in_json_and_landmarks_can_be_given_to_the_next_run(face, result):
    landmarks, pose = (json.loads(result.files[f"{name}.json"]) for name in ("landmarks", "pose"))
    assert np.allclose(landmarks["landmarks"], face.landmarks, atol=1e-3)
    assert len(landmarks["visible"]) == 68 and 34 < sum(landmarks["visible"]) < 68
    assert pose["yaw"] == pytest.approx(25, abs=0.01) and np.allclose(pose["camera_matrix"], face.camera)
    left = pose["scale"] * np.array(pose["rotation"])
    assert np.allclose(np.c_[left, pose["translation"]], pose["camera_matrix"], atol=1e-4)


def test_the_frontal_mesh_is_the_face_turned_back(result):
    frontal = loaded(result.files["frontal.ply"], "ply")
    assert np.allclose(frontal.vertices, LAYOUT.canonical * [1, -1, 1], atol=1e-2)


def test_matlab_gets_mesh_landmarks_depth_and_pose(face, result):
    found = loadmat(io.BytesIO(result.files["face.mat"]))
    nearest = np.linalg.norm(found["landmarks"][:, None] - found["vertices"][None], axis=2).min(1)
    assert np.allclose(found["vertices"], face.vertices) and nearest.max() < 1e-3  # in one frame
    assert found["triangles"].min() == 1 and found["triangles"].max() == len(face.vertices)
    assert found["window"].ravel().tolist() == list(face.window)
    assert found["depth"].shape == tuple(face.depth().shape) and found["camera"].shape == (3, 4)


def test_formats_that_nobody_asked_for_are_not_written(face):
    files = Outputs(texture_size=64, hidden="grey", obj=False, mat=False).of("someone", face).files
    assert sorted(files) == ["frontal.ply", "landmarks.json", "mesh.glb", "pose.json"]


def test_pictures_show_landmarks_dense_points_pose_depth_texture_and_what_is_visible(result):
    images = result.images
    assert sorted(images) == ["dense", "depth", "pose", "sparse", "texture", "visible"]
    assert images["sparse"].shape == images["dense"].shape == images["pose"].shape
    assert images["visible"].dtype == torch.bool


@pytest.fixture(scope="module")
def framework():
    return PRNet(backbone=dict(type="DiscReader"), layout="ict").eval()


@pytest.mark.parametrize("box", [(110, 70, 190, 150), (90, 60, 190, 160), (130, 100, 180, 150)])
def test_a_face_is_where_it_is_in_the_photograph_whatever_box_it_was_found_by(framework, box):
    found = framework.find_face(disc((150.0, 110.0), 36.0), np.array(box, np.float32))
    expected = 3.6 * (LAYOUT.canonical - LAYOUT.canonical.mean(0)) + [150, 110, 3.6]
    assert np.abs(found.vertices.numpy() - expected).max() < 1.0


def test_the_second_crop_is_around_the_landmarks_that_were_found(framework):
    image, boxes = disc((150.0, 110.0), 36.0), np.array([[90, 60, 190, 160], [110, 70, 190, 150]], np.float32)
    first, second = (framework.find_face(image, box).crop for box in boxes)
    assert torch.allclose(first, second, atol=0.05 * float(first.abs().max()))


@pytest.mark.parametrize("resolution, files", [(0, 0), (64, 4)])
def test_arrays_alone_are_left_where_no_meshes_are_wanted(framework, resolution, files):
    item = dict(name="a", img=disc((150.0, 110.0), 36.0), box=np.array([110, 70, 190, 150], np.float32))
    result, = framework.reconstruct(item, resolution)
    assert len(result.files) == files and (result.mesh is None) == (resolution == 0)
    assert {"landmarks", "vertices", "position_map"} <= result.arrays.keys()
