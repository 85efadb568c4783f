import igl
import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.datasets.heads.ict_face.heads import HeadMaker
from deep3dmap.datasets.synthetic import generate_head_capture
from deep3dmap.datasets.synthetic.head_accessories import ACCESSORIES
from deep3dmap.datasets.synthetic.head_cameras import azimuths_between, view_azimuths
from deep3dmap.datasets.synthetic.head_lights import LIGHTS
from deep3dmap.datasets.synthetic.head_shapes import bust, model_head
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.registry import DATASETS
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, HEAD_LANDMARKS_OF_68, MEAN_HEAD_LANDMARKS
from tests.datasets.heads.ict_face.made import made_arrays

SMALL = dict(test_views=1, size=(40, 48), supersample=1)
NEFERTITI = dict(right_eye=[-13.7, -148.2, 21.8], left_eye=[20.0, -147.3, 22.4], nose_tip=[4.0, -181.3, -7.5],
                 nose_base=[4.0, -169.5, -19.0], right_lips=[-21.7, -152.6, -35.8],
                 left_lips=[27.7, -153.4, -35.5])  # yapf: disable


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "ict_face_model.npz"
    np.savez(path, **made_arrays())
    return str(path)


@pytest.fixture(scope="module")
def capture(model):
    return generate_head_capture(model=model, **SMALL)


@pytest.fixture
def real_model(real_data):
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the real face model: deep3dmap download ict_face")
    return str(real_data / "ict_face")


def egg():
    """An egg in centimetres and the mean head's landmarks beside it."""
    return trimesh.creation.icosphere(subdivisions=3).apply_scale([8, 12, 10]), dict(zip(HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS))


def seen_depth(capture, points, view=0):
    """Depths of the points, and what the capture's depth map says at their pixels."""
    uv, depth = capture.cameras.to(torch.float64).project(points)
    column, row = uv[view].long().T
    return depth[view].numpy(), capture.depth[view][row, column].numpy()


def landmarks_of(capture):
    return torch.stack([capture.landmarks[name] for name in HEAD_LANDMARKS])


def forward_of(capture, landmarks):
    """Where the face looks, by the rigid motion of its landmarks."""
    return align_points(torch.tensor(landmarks, dtype=torch.float64), landmarks_of(capture), with_scale=False)[:3, 2].numpy()


def azimuths(capture, forward):
    offsets = capture.cameras.centers.double().numpy() - capture.mesh.bounds.mean(0)
    angle = np.arctan2(offsets[:, 0], offsets[:, 2]) - np.arctan2(forward[0], forward[2])
    return np.degrees((angle + np.pi) % (2 * np.pi) - np.pi)


def test_depth_leads_back_onto_the_mesh(capture):
    cameras = capture.cameras.to(torch.float64)
    for view in range(len(capture)):
        rays = cameras.view_rays(view)
        depth = capture.depth[view].double().flatten()
        points = rays.points(depth / (rays.directions @ cameras.axes[view]))[capture.masks[view].flatten()]
        squared = igl.point_mesh_squared_distance(points.numpy(), np.asarray(capture.mesh.vertices),
                                                  np.asarray(capture.mesh.faces, np.int64))[0]  # yapf: disable
        assert np.sqrt(squared).max() < 0.01


def test_landmarks_are_the_points_of_the_head_that_they_are_called_after(capture, model):
    maker = HeadMaker.build(ICTFaceModel.load(model), 0)
    expected = 10 * maker.landmarks("test", 0)[list(HEAD_LANDMARKS_OF_68)].astype(np.float64)
    motion = align_points(torch.tensor(expected), landmarks_of(capture), with_scale=False)
    moved = trimesh.transform_points(expected, motion.numpy())
    assert np.abs(moved - landmarks_of(capture).numpy()).max() < 1e-3


def test_landmarks_lie_on_the_surface_that_the_front_camera_sees(real_model):
    capture = generate_head_capture("test_00001", 1, 0, (150, 150), real_model, supersample=1)
    depth, seen = seen_depth(capture, landmarks_of(capture))
    assert np.abs(depth - seen).max() < 4.0


def test_brows_are_where_the_brows_of_each_head_are(real_model):
    maker = HeadMaker.build(ICTFaceModel.load(real_model), 0)
    for number in (0, 4):
        capture = generate_head_capture(f"test_{number:05d}", 1, 0, (160, 160), real_model, lights="ring", supersample=1)
        points = 10 * maker.landmarks("test", number).astype(np.float64)
        motion = align_points(torch.tensor(points[list(HEAD_LANDMARKS_OF_68)]), landmarks_of(capture), with_scale=False)
        between = (points[[37, 44]] + points[[19, 24]]) / 2  # of lids and brows
        moved = torch.tensor(trimesh.transform_points(np.concatenate([points[[19, 24]], between]), motion.numpy()))
        uv, _ = capture.cameras.to(torch.float64).project(moved)
        brightness = [capture.images[0, int(v) - 1:int(v) + 2, int(u) - 1:int(u) + 2].float().mean() for u, v in uv[0]]
        assert max(brightness[:2]) < 0.9 * min(brightness[2:])


def test_colours_belong_to_points_of_the_mean_head(model):
    random = np.random.default_rng(0)
    first, second = (model_head(model, 0, "test", number, None, True, random).piece for number in (0, 1))
    assert np.abs(first.vertices - second.vertices).max() > 1
    assert np.array_equal(first.canonical, second.canonical) and np.array_equal(first.material, second.material)


def test_eye_sockets_are_hollow_without_eyeballs(real_model):
    depths = []
    for eyeballs in (True, False):
        capture = generate_head_capture("test_00005", 1, 0, (120, 120), real_model, eyeballs=eyeballs, supersample=1)
        face = HeadMaker.build(ICTFaceModel.load(real_model), 0)
        points = 10 * face.landmarks("test", 5).astype(np.float64)
        motion = align_points(torch.tensor(points[list(HEAD_LANDMARKS_OF_68)]), landmarks_of(capture), with_scale=False)
        middle = torch.tensor(trimesh.transform_points(points[42:48].mean(0)[None], motion.numpy()))
        depths.append(seen_depth(capture, middle)[1][0])
    assert depths[1] > depths[0] + 10


def test_three_views_are_a_frontal_arc_and_four_a_wider_one():
    mesh, landmarks = egg()
    for views, expected in ((3, [0, -45, 45]), (4, [-45, 45, -100, 100])):
        capture = generate_head_capture(mesh=mesh, landmarks=landmarks, unit_millimetres=10, views=views, **SMALL)
        found = azimuths(capture, forward_of(capture, MEAN_HEAD_LANDMARKS))
        assert np.allclose(found[:views], expected, atol=0.5)


@pytest.mark.parametrize("views", [5, 8, 16, 32])
def test_many_views_go_evenly_all_around(views):
    ordered = np.sort(view_azimuths(views))
    assert np.allclose(np.diff(ordered, append=ordered[0] + 360), 360 / views)
    assert view_azimuths(views)[0] == 0


def test_the_cameras_of_eight_views_stand_there_with_sixteen(model):
    few, many = (generate_head_capture(model=model, views=views, **SMALL | dict(size=(4, 4))) for views in (8, 16))
    distance = torch.cdist(few.cameras.centers[:8], many.cameras.centers[:16])
    assert distance.min(1).values.max() < 0.01


@pytest.mark.parametrize("views,count", [(1, 2), (3, 2), (4, 5), (8, 3), (32, 40)])
def test_views_to_test_on_lie_between_others(views, count):
    given = np.array(view_azimuths(views))
    found = np.array(azimuths_between(given.tolist(), count))
    gaps = np.abs((found[:, None] - given + 180) % 360 - 180)
    assert len(found) == count and len(np.unique(found)) == count
    assert (gaps.min(1) > 2).all() and gaps.min(1).max() <= 60


def test_the_head_fills_the_images_without_touching_their_borders(capture):
    masks = capture.masks
    assert not masks[:, [0, -1]].any() and not masks[:, :, [0, -1]].any()
    assert (masks.any(2).sum(1) / 40).max() > 0.8


def test_the_same_arguments_give_the_same_capture_bit_for_bit(capture, model):
    again = generate_head_capture(model=model, **SMALL)
    for name in ("images", "masks", "depth", "normals"):
        assert torch.equal(getattr(capture, name), getattr(again, name))
    assert torch.equal(capture.cameras.world_to_cam, again.cameras.world_to_cam)


def test_heads_stand_and_look_each_in_their_own_way(capture, model):
    other = generate_head_capture("test_00001", model=model, **SMALL)
    assert (landmarks_of(capture) - landmarks_of(other)).norm(dim=-1).min() > 10
    assert (landmarks_of(capture).norm(dim=-1) > 10).all()


@pytest.mark.parametrize("lights", LIGHTS)
def test_light_changes_colours_alone(capture, model, lights):
    first, second = ("studio", lights) if lights != "studio" else ("studio", "ring")
    a, b = (generate_head_capture(model=model, lights=name, **SMALL) for name in (first, second))
    assert torch.equal(a.depth, b.depth) and torch.equal(a.depth, capture.depth)
    assert (a.images.int() - b.images.int()).abs().max() > 10


@pytest.mark.parametrize("accessory", ACCESSORIES)
def test_what_a_head_wears_is_part_of_the_true_surface_and_moves_no_landmark(capture, model, accessory):
    worn = generate_head_capture(model=model, accessory=accessory, **SMALL)
    assert torch.equal(landmarks_of(worn), landmarks_of(capture))
    squared = igl.point_mesh_squared_distance(np.asarray(worn.mesh.vertices), np.asarray(capture.mesh.vertices),
                                              np.asarray(capture.mesh.faces, np.int64))[0]  # yapf: disable
    assert np.sqrt(squared).max() > 3


def test_a_hat_is_all_that_is_left_above_the_scalp(real_model):
    capture = generate_head_capture(views=1, test_views=0, model=real_model, accessory="hat", size=(8, 8), supersample=1)
    middle = landmarks_of(capture)[:2].mean(0).numpy() - 90 * forward_of(capture, MEAN_HEAD_LANDMARKS)
    places, _, _ = capture.mesh.ray.intersects_location(middle[None], [[0.0, 1.0, 0.0]])
    assert len(places) == 1
    assert places[0, 1] - middle[1] > 110  # the mean head ends 112 millimetres above its eyes' corners, crowns are higher


@pytest.mark.parametrize("accessory", [None, *ACCESSORIES])
def test_nobody_sees_the_surface_from_within(real_model, accessory):
    capture = generate_head_capture(model=real_model, views=5, test_views=0, size=(80, 80), accessory=accessory, supersample=1)
    inside = []
    for view in range(5):
        rays = capture.cameras.to(torch.float64).view_rays(view)
        hits = cast_rays(capture.mesh, rays.origins, rays.directions)
        normals = torch.tensor(capture.mesh.face_normals)[hits.face]
        towards = (normals * rays.directions).sum(-1)[hits.hit]
        inside.append((towards > 0).double().mean())
    assert max(inside) < 5e-4


def test_a_bust_keeps_its_size_and_its_landmarks():
    mesh, landmarks = egg()
    capture = generate_head_capture(mesh=mesh, landmarks=landmarks, unit_millimetres=10, **SMALL)
    given = 10 * torch.tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64)
    assert torch.allclose(torch.cdist(landmarks_of(capture), landmarks_of(capture)), torch.cdist(given, given), atol=1e-6)
    assert capture.mesh.volume == pytest.approx(1000 * mesh.volume)


def test_nefertitis_landmarks_are_seen_from_the_front(real_data):
    shape, _ = bust(real_data / "meshes" / "nefertiti.ply", NEFERTITI, 1.0)
    mesh = trimesh.Trimesh(shape.piece.vertices, shape.piece.faces, process=False)
    hits = cast_rays(mesh, shape.landmarks + (0.0, 0.0, 500.0), np.tile([0.0, 0.0, -1.0], (6, 1)))
    assert np.abs(hits.distance.numpy() - 500).max() < 2.5


def test_noise_is_put_on_training_views_alone(capture, model):
    noisy = generate_head_capture(model=model, camera_noise=1.0, mask_noise=1.0, image_noise=0.05, **SMALL)
    for name in ("images", "masks"):
        changed = (getattr(noisy, name) != getattr(capture, name)).flatten(1).any(1)
        assert changed.tolist() == [True] * 3 + [False]
    assert torch.equal(noisy.true_cameras.world_to_cam, capture.cameras.world_to_cam)


def test_a_config_makes_it(capture, model):
    built = DATASETS.build(dict(type="SyntheticHeadCapture", model=model, **SMALL))
    assert torch.equal(built.images, capture.images)
    assert built.names == ("view_000", "view_001", "view_002", "test_000")


@pytest.mark.parametrize("options,message", [
    (dict(head="test"), "expected a split .train, validation, test. and a number"),
    (dict(head="testing_00001"), "head='testing_00001'"),
    (dict(head="test_-1"), "head='test_-1'"),
    (dict(views=0), "SyntheticHeadCapture: views must be at least 1"),
    (dict(test_views=-1), "test_views must be at least 0"),
    (dict(size=(0, 5)), "size must be a positive height and width"),
    (dict(seed=-1), "seed must not be negative"),
    (dict(lights="studioo"), "'studioo'.*studio"),
    (dict(accessory="hats"), "'hats'.*hat"),
    (dict(mesh="x.ply", accessory="hat"), "accessory='hat'.*mesh"),
    (dict(landmarks=NEFERTITI), "landmarks.*mesh"),
    (dict(mesh=egg()[0]), "needs all six landmarks.*right_eye"),
    (dict(mesh=egg()[0], landmarks={k: v for k, v in NEFERTITI.items() if k != "nose_base"}), "nose_base"),
    (dict(mesh=egg()[0], landmarks=egg()[1], unit_millimetres=0.0), "unit_millimetres must be positive"),
    (dict(mesh=egg()[0], landmarks=egg()[1] | dict(nose_tip=(0.0, 1.0))), "nose_tip must be three numbers"),
])  # yapf: disable
def test_bad_arguments_are_reported(model, options, message):
    with pytest.raises(ConfigError, match=message):
        generate_head_capture(**dict(model=model) | SMALL | options)


@pytest.mark.parametrize("moved", [lambda p: 10 * np.array(p), lambda p: np.array(p) + (0.0, 0.0, 40.0)])
def test_landmarks_of_another_mesh_or_unit_are_reported(moved):
    mesh, landmarks = egg()
    with pytest.raises(DataError, match="landmark right_eye at .* is far outside the mesh.* unit"):
        generate_head_capture(mesh=mesh, landmarks={n: moved(p).tolist() for n, p in landmarks.items()}, **SMALL)
