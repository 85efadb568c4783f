"""Baselines of depth images, and the distributions of views and lights, on faces and shadings that are known."""

import json

import numpy as np
import pytest
import torch

from deep3dmap.frameworks.gan2shape.canonical import Light, scaled_views
from deep3dmap.renderers.depth_image.grids import view_transform
from tools.depth_image_baselines import FIGURES, mean_depth, stages
from tools.face_views_and_lights import FRONT, light_of, view_of


def test_the_mean_depth_counts_only_what_shows_the_object():
    first, second = torch.tensor([[0.9, 1.0, 1.1, 1.1]]), torch.tensor([[1.0, 1.2, 0.8, 1.2]])
    torch.testing.assert_close(mean_depth(iter([first, second])), torch.tensor([[0.95, 1.0, 0.8, 1.0]]))


def test_stages_are_listed_as_far_as_all_runs_have_come(tmp_path):
    for name, factor, ends in (("a", 1.0, 3), ("b", 3.0, 2)):
        folder = tmp_path / "instances" / name
        folder.mkdir(parents=True)
        lines = [dict(step=1, stage="prior", loss=0.1)]
        lines += [dict(step=k, stage=f"s{k}") | {f"val_{each}": factor * (k + 1) for each in FIGURES} for k in range(ends)]
        (folder / "scalars.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = stages(tmp_path)
    assert list(table) == [f"{tmp_path.name}: 1 s0", f"{tmp_path.name}: 2 s1"]
    assert [row["side"] for row in table.values()] == [2.0, 4.0] and all(row["pictures"] == 2 for row in table.values())


def test_a_frontal_head_is_turned_by_the_view_that_is_found():
    view = torch.tensor([[0.2, -0.6, 0.1, 0, 0, 0]])
    rotation = view_transform(scaled_views(view))[0][0].numpy()
    pose = np.column_stack([rotation @ FRONT, np.ones(3)])
    np.testing.assert_allclose(view_of(dict(world_to_cam=pose)), view[0, :3], atol=1e-5)


def test_a_light_that_shaded_a_picture_is_found():
    random = np.random.default_rng(0)
    numbers = torch.tensor([[-0.4, 0.3, 0.5, -0.2]])
    light = Light.of(numbers)
    inward = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(1, 12, 12, 3))).float(), dim=-1)
    albedo = torch.from_numpy(random.uniform(0.2, 0.9, (1, 3, 12, 12))).float()
    picture = light.texture(albedo * 2 - 1, light.diffuse_shading(inward))[0].permute(1, 2, 0) * 127.5 + 127.5
    item = dict(img=picture.numpy(), albedo=albedo[0].permute(1, 2, 0).numpy(), normal=-inward[0].numpy(),
                mask=np.ones((12, 12), bool), light=-light.direction[0].numpy())  # yapf: disable
    assert light_of(item) == pytest.approx(numbers[0].numpy(), abs=1e-3)
