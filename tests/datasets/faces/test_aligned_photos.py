"""A user's photographs are cropped as the synthetic faces are placed."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.datasets import AlignedFaces, AlignedPhotos
from deep3dmap.datasets.faces import aligned_photos
from deep3dmap.datasets.faces.aligned_photos import ALIGNED, aligned_crop
from deep3dmap.datasets.faces.detection import FaceBox
from deep3dmap.datasets.salient import SalientObjects
from deep3dmap.errors import DataError, MissingDependencyError

#: A picture whose red and green are its pixels' x and y.
PLACES = np.stack([*np.meshgrid(np.arange(120), np.arange(100)), np.full((100, 120), 9)], -1).astype(np.uint8)


def save(folder, name, *boxes, pixels=PLACES):
    Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / f"{name}.json").write_text(json.dumps(boxes))
    return folder


def photos(source, **options) -> AlignedPhotos:
    return AlignedPhotos(str(source), **{"size": 8, "detector": "given"} | options)


def test_the_square_around_a_face_is_cut_in_its_place_and_size(tmp_path):
    box, size = [50, 45, 74, 65], 30
    item = photos(save(tmp_path, "one", box), size=size)[0]
    assert item["name"] == "one" and set(item) == {"name", "image", "mask"} and item["image"].shape == (3, size, size)
    side = ALIGNED.growth * (24 + 20) / 2
    middle = np.array([62, 55 + ALIGNED.down * 22])
    x, y = ((item["image"][:2] + 1) * 127.5).numpy()
    step = side / size
    expected = (np.arange(size) + 0.5 - size / 2) * step
    assert np.allclose(x, middle[0] + expected, atol=0.1) and np.allclose(y, middle[1] + expected[:, None], atol=0.1)


def test_the_mask_is_what_stands_out_in_the_square_or_where_heads_usually_are(tmp_path, monkeypatch):
    source = save(tmp_path, "one", [50, 45, 74, 65])
    monkeypatch.setattr(aligned_photos, "SalientObjects", Mock(side_effect=MissingDependencyError("no network")))
    usual = photos(source, size=32)[0]["mask"]
    assert torch.equal(usual, aligned_photos.usual_place(32)[None]) and 0.5 < usual.mean() < 0.75 and usual[0, 12, 16] == 1
    network = Mock(spec=SalientObjects, mask=lambda square: square[..., 0] / 120)
    monkeypatch.setattr(aligned_photos, "SalientObjects", Mock(return_value=network))
    found = photos(source, size=8)[0]
    x = (found["image"][0] + 1) * 127.5
    assert found["mask"].shape == (1, 8, 8) and torch.allclose(found["mask"][0] * 120, x, atol=1)


def test_beyond_the_edge_of_the_photograph_its_outer_pixels_are_repeated(tmp_path):
    x, y, _ = (photos(save(tmp_path, "one", [-12, -10, 12, 14]), size=30)[0]["image"] + 1) * 127.5
    assert (x[:, :14].abs() < 0.01).all() and (y[:10].abs() < 0.01).all() and x[0, -1] > 10 and y[-1, 0] > 10


def test_the_largest_face_of_each_picture_is_taken_and_too_small_ones_are_named(tmp_path):
    save(save(tmp_path, "party", [5, 5, 15, 15], [50, 45, 74, 65]), "tiny", [10, 10, 14, 15])
    found = photos(tmp_path)
    assert [found[k]["name"] for k in range(len(found))] == ["party"] and found[0]["image"][0, 4, 4] * 127.5 + 127.5 > 50
    note, = found.notes
    assert "tiny.png: the square around the face has 7 pixels a side, fewer than the 8 needed" in note
    with pytest.raises(DataError, match="tiny.png: .*use a larger picture"):
        photos(tmp_path / "tiny.png")
    with pytest.raises(DataError, match="flat.png: no face was found;.* use 'none'"):
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "flat.png")
        photos(tmp_path / "flat.png", detector="lbp")


def test_without_a_detector_the_middle_square_is_used_as_it_is(tmp_path):
    save(tmp_path, "one", pixels=PLACES[:, :100])
    item = photos(tmp_path, detector="none", size=100)[0]
    assert torch.equal(item["image"], torch.from_numpy(PLACES[:, :100]).permute(2, 0, 1) / 127.5 - 1)
    wide = photos(save(tmp_path, "one"), detector="none", size=50)[0]["image"][0] * 127.5 + 127.5
    assert 9 < wide[:, 0].mean() < 12 and 107 < wide[:, -1].mean() < 111
    with pytest.raises(DataError, match="one.png: the square .* 100 pixels a side, fewer than the 101"):
        photos(tmp_path, detector="none", size=101)


def test_the_place_is_that_of_synthetic_faces_whichever_way_they_look(real_data):
    from deep3dmap.datasets.faces.synthetic.aligned import PITCH, YAW, _camera
    from deep3dmap.datasets.faces.synthetic.heads import wardrobe
    from deep3dmap.datasets.faces.synthetic.people import head_rotation
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the face model: deep3dmap download ict_face")
    model, size = wardrobe(str(real_data / "ict_face")).model, 64
    faces = AlignedFaces("validation", size, truth=True, model=str(real_data / "ict_face"))
    heads = torch.stack([torch.from_numpy(faces[k]["mask"]) for k in range(8)]).float().mean(0) > 0.5
    usual = aligned_photos.usual_place(size) > 0
    assert (heads & usual).sum() > 0.8 * (heads | usual).sum()
    points = model.mean[model.landmarks68].astype(np.float64)
    for yaw in (-YAW, 0, YAW):
        for pitch in (-PITCH, PITCH):
            camera = _camera(head_rotation(yaw, pitch, 0.0), size)
            seen = np.c_[points, np.ones(68)] @ (camera.K[0].numpy() @ camera.world_to_cam[0].numpy()).T
            box = FaceBox.around(seen[:, :2] / seen[:, 2:] - 0.5)
            crop = aligned_crop(box, size).numpy()  # of the picture itself: nothing is to be done
            assert abs(crop[0, 0] - 1) < 0.12 and np.abs(crop[:2] @ [31.5, 31.5, 1] - 31.5).max() < 0.08 * size
