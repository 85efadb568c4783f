"""Aligned synthetic faces: their truth is what their pictures show."""

import numpy as np
import pytest

from deep3dmap.datasets import AlignedFaces
from deep3dmap.datasets.faces.synthetic.aligned import PITCH, PIVOT, SIDE, YAW
from deep3dmap.datasets.faces.transforms import PackObject
from deep3dmap.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def model(real_data):
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the face model: deep3dmap download ict_face")
    return str(real_data / "ict_face")


@pytest.fixture(scope="module")
def items(model):
    faces = AlignedFaces("validation", size=48, truth=True, model=model)
    return [faces[k] for k in range(4)]


def points(item) -> np.ndarray:
    """Where the pixels' points lie in the camera's axes (s, s, 3)."""
    size, K = len(item["depth"]), item["K"]
    y, x = np.mgrid[:size, :size] + 0.5
    return np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], -1) * item["depth"][..., None]


def test_an_item_depends_on_its_index_alone_and_the_cache_changes_nothing(items, model, tmp_path):
    faces = AlignedFaces("validation", size=48, model=model, cache=str(tmp_path))
    made, read = faces[2]["img"], faces[2]["img"]
    assert np.array_equal(made, items[2]["img"]) and np.array_equal(read, made)
    assert set(faces[2]) == {"name", "img"} and len(list(tmp_path.rglob("*.png"))) == 1
    assert len({item["img"].tobytes() for item in items}) == len(items)
    file = next(tmp_path.rglob("*.png"))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=file.name):
        faces[2]


def test_no_person_is_in_two_splits_or_seeds(items, model):
    for options in (dict(split="train"), dict(split="validation", seed=1)):
        other = AlignedFaces(size=48, model=model, truth=True, **options)[0]
        assert np.abs(other["depth"] - items[0]["depth"]).mean() > 0.5


def test_all_heads_are_in_the_same_place_and_turned_within_the_limits(items):
    for item in items:
        rotation, offset = item["world_to_cam"][:, :3].astype(float), item["world_to_cam"][:, 3]
        seen = item["K"] @ (rotation @ PIVOT + offset)
        np.testing.assert_allclose(seen[:2] / seen[2], 24, atol=1e-3)
        assert SIDE / 48 == pytest.approx(seen[2] / item["K"][0, 0], rel=1e-4)
        forward = rotation @ (0, 0, 1)
        assert abs(np.degrees(np.arctan2(forward[0], -forward[2]))) < YAW + 3
        assert abs(np.degrees(np.arcsin(forward[1]))) < PITCH + 3
        assert 0.3 < item["mask"].mean() < 0.9 and (item["mask"] == (item["depth"] > 0)).all()


def test_the_depths_points_lie_on_a_head_in_front_of_the_pivot(items):
    for item in items:
        there = points(item)[item["mask"]] - item["world_to_cam"][:, 3]
        head = there @ item["world_to_cam"][:, :3]
        assert np.abs(head).max() < 25 and head[:, 2].max() > 9  # the nose's tip


def test_normals_are_those_of_the_depth(items):
    for item in items:
        place, mask = points(item), item["mask"]
        across, down = place[1:-1, 2:] - place[1:-1, :-2], place[2:, 1:-1] - place[:-2, 1:-1]
        found = np.cross(down, across)
        found /= np.linalg.norm(found, axis=-1, keepdims=True) + 1e-9
        inner = mask[1:-1, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2] & mask[2:, 1:-1] & mask[:-2, 1:-1]
        cosine = (found * item["normal"][1:-1, 1:-1]).sum(-1)[inner]
        assert np.median(cosine) > 0.97
        np.testing.assert_allclose(np.linalg.norm(item["normal"][mask], axis=-1), 1, atol=1e-4)


def test_the_picture_is_brighter_where_the_surface_faces_the_light(items):
    for item in items:
        mask = item["mask"]
        albedo = item["albedo"][mask].mean(-1)
        shading = item["img"][mask].mean(-1) / 255 / albedo.clip(0.05)
        facing = item["normal"][mask] @ item["light"]
        assert np.corrcoef(shading, facing)[0, 1] > 0.4
        assert 0 <= item["albedo"].min() and item["albedo"].max() <= 1


def test_the_background_is_plain(items):
    for item in items:
        beside = item["img"][:6, :3][~item["mask"][:6, :3]].astype(int)
        assert len(beside) and np.ptp(beside, 0).max() <= 1


def test_packed_as_objects_faces_have_pictures_and_depths_of_gan2shape(items):
    for item in items:
        packed, masked = PackObject()(item), PackObject(mask=True, background=1.7)(item)
        assert set(packed) == {"name", "image", "depth"} and set(masked) - set(packed) == {"mask"}
        np.testing.assert_allclose((packed["image"].permute(1, 2, 0).numpy() + 1) * 127.5, item["img"], atol=1e-3)
        depth, head = packed["depth"].numpy(), item["mask"]
        rotation, offset = item["world_to_cam"][:, :3].astype(float), item["world_to_cam"][:, 3]
        np.testing.assert_allclose(depth[head] * (rotation @ PIVOT + offset)[2], item["depth"][head], rtol=1e-5)
        assert depth[head].max() < 1.2 and (depth[~head] == np.float32(1.5)).all()
        assert np.array_equal(masked["mask"][0].bool().numpy(), head) and masked["depth"].max() == pytest.approx(1.7)


def test_an_unknown_split_is_refused(model):
    with pytest.raises(ConfigError, match="no split 'tset'.*'test'"):
        AlignedFaces("tset", model=model)
