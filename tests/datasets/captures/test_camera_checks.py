import numpy as np

from deep3dmap.datasets.captures.camera_checks import CameraSet, camera_warnings, common_point, sphere_warnings

K = np.array([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]])


def looking(center, target=(0.0, 0, 0)):
    """[R | t] of a camera at ``center`` that looks at ``target``."""
    z = np.asarray(target) - np.asarray(center, float)
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.1, 0.2, 1.0])
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    return np.concatenate([R, -R @ np.reshape(center, (3, 1))], 1)


def ring(count=8, radius=3.0):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.3 * angle], 1)


def cameras_of(poses, matrices=None, centroids=None):
    count = len(poses)
    return CameraSet([f"v{i}" for i in range(count)], np.stack([K] * count if matrices is None else matrices), np.stack(poses),
                     (12, 16), centroids or [None] * count)


def warnings_of(cameras):
    return camera_warnings(cameras, common_point(cameras.centers(), cameras.directions()))


def test_the_common_point_is_where_all_axes_meet():
    target = np.array([0.3, -0.2, 0.5])
    cameras = cameras_of([looking(c, target) for c in ring()])
    np.testing.assert_allclose(common_point(cameras.centers(), cameras.directions()), target, atol=1e-9)


def test_two_strays_do_not_move_the_common_point():
    poses = [looking(c) for c in ring(12)]
    poses[2], poses[7] = looking(ring(12)[2], (0, 9.0, 4)), looking(ring(12)[7], (5.0, 0, -8))
    cameras = cameras_of(poses)
    np.testing.assert_allclose(common_point(cameras.centers(), cameras.directions()), 0, atol=1e-3)


def test_the_middles_of_masks_count_more_than_the_axes():
    poses = [looking(c) for c in ring()]
    seen = [K @ (p[:, :3] @ [0.2, 0.1, -0.3] + p[:, 3]) for p in poses]
    cameras = cameras_of(poses, centroids=[(x[0] / x[2], x[1] / x[2], 2.0) for x in seen])
    np.testing.assert_allclose(common_point(cameras.centers(), cameras.directions()), [0.2, 0.1, -0.3], atol=1e-9)


def test_parallel_axes_have_no_common_point():
    cameras = cameras_of([looking((x, 0.0, -5.0), (x, 0.0, 0.0)) for x in (0.0, 1.0, 2.0)])
    assert common_point(cameras.centers(), cameras.directions()) is None
    assert warnings_of(cameras) == ["the cameras look in parallel directions; they have no common point"]


def test_cameras_around_an_object_are_not_suspicious():
    assert warnings_of(cameras_of([looking(c) for c in ring()])) == []


def test_few_views_are_mentioned():
    assert "only 2 views" in warnings_of(cameras_of([looking(c) for c in ring(8)[:2]]))[0]


def test_views_of_one_pose_are_named_together():
    cameras = [looking(c) for c in ring(8)]
    found = warnings_of(cameras_of([cameras[0]] * 9 + cameras[1:]))
    assert found == ["the cameras of v0, v1, v2, v3, v4, v5 and 3 more have the same pose"]


def test_cameras_that_look_elsewhere_or_away_are_named():
    poses = [looking(c) for c in ring()]
    poses[3] = looking(ring()[3], ring()[3] + ring()[4])
    (warning, ) = warnings_of(cameras_of(poses))
    assert warning.startswith("1 of 8 cameras") and warning.endswith("v3")
    poses = [looking(c) for c in ring()]
    poses[3] = looking(ring()[3], 2 * ring()[3])
    assert warnings_of(cameras_of(poses)) == ["1 of 8 cameras have the point that the others look at behind them: v3"]


def test_cameras_of_the_wrong_convention_are_recognised_as_such():
    opengl = np.diag([1.0, -1, -1])
    (warning, ) = warnings_of(cameras_of([opengl @ looking(c) for c in ring()]))
    assert "8 of 8 cameras look away" in warning and "OpenGL" in warning


def test_cameras_for_images_of_another_size_are_noticed():
    matrices = [np.diag([4.0, 4, 1]) @ K] * 8
    assert any("images of another size" in w for w in warnings_of(cameras_of([looking(c) for c in ring()], matrices)))


def test_a_mask_that_belongs_to_another_camera_is_named():
    centroids = [(8.0, 6.0, 1.0)] * 8
    centroids[6] = (2.0, 3.0, 1.0)
    (warning, ) = warnings_of(cameras_of([looking(c) for c in ring()], centroids=centroids))
    assert "mask far from" in warning and warning.endswith("v6")


def test_long_lists_are_cut():
    centroids = [(2.0 if i % 2 else 14.0, 6.0, 0.2) for i in range(20)]
    (warning, ) = warnings_of(cameras_of([looking(c) for c in ring(20)], centroids=centroids))
    assert "20 of 20" in warning and warning.endswith("v5 and 14 more")


def test_only_spheres_around_cameras_or_out_of_sight_are_reported():
    assert sphere_warnings(cameras_of([looking(c) for c in ring()]), np.eye(4)) == []
    assert "lie inside the unit sphere" in sphere_warnings(cameras_of([looking(c) for c in ring()]),
                                                           np.diag([0.1, 0.1, 0.1, 1]))[0]
    elsewhere = np.eye(4)
    elsewhere[:3, 3] = [0, 0, -30.0]
    (warning, ) = sphere_warnings(cameras_of([looking(c) for c in ring()]), elsewhere)
    assert "8 of 8 cameras don't see the centre" in warning
