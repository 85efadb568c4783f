"""The painted hull as a method: its run, its checkpoints, its figures, its bad inputs."""

import json

import numpy as np
import pytest
import torch
import trimesh
from mmengine.optim import OptimWrapperDict

from deep3dmap.apis import export_mesh, load_framework, test, train
from deep3dmap.apis.reconstruct import reconstruct
from deep3dmap.datasets import load_scene
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.evaluation.images import mask_iou, psnr
from deep3dmap.frameworks import Hull
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.geometry.visual_hull import visual_hull
from deep3dmap.renderers.mesh.drawing import render_mesh

evaluate = test
del test  # pytest would take it for a test

CONFIG, OPTIONS = "configs/hull/your_own.py", {"scene.test_views": 4, "model.resolution": 48, "test_cfg.resolution": 48}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen photographs of a ball that is red above and blue below, away from the origin and three units large."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=3.0)
    colors = np.where(ball.vertices[:, 1:2] > 0, [[200, 40, 40, 255]], [[40, 40, 200, 255]]).astype(np.uint8)
    ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=colors)
    ball.apply_translation([5.0, -2.0, 1.0])
    path = tmp_path_factory.mktemp("capture") / "ball"
    save_capture(generate_capture(ball, views=16, test_views=0, size=(72, 72), supersample=1), path, "idr")
    return path


@pytest.fixture(scope="module")
def options(folder):
    return OPTIONS | {"scene.capture": str(folder)}


@pytest.fixture(scope="module")
def work_dir(options, tmp_path_factory):
    """The work folder of a finished run."""
    path = tmp_path_factory.mktemp("work")
    train(CONFIG, path, options=options, progress=False)
    return path


@pytest.fixture(scope="module")
def tested(options, work_dir, tmp_path_factory):
    return evaluate(CONFIG, work_dir, tmp_path_factory.mktemp("test"), options=options)


def test_held_out_views_match_their_photographs(tested):
    figures = tested.metrics["held-out views"]
    assert figures["views"] == 4 and figures["mask_iou_min"] > 0.95
    assert figures["psnr"] > 20  # a grey ball has 10


def test_the_mesh_is_the_ball_in_the_datas_frame_and_units(tested):
    mesh = tested.mesh
    assert np.abs(mesh.vertices.mean(0) - [5, -2, 1]).max() < 0.1
    radius = np.linalg.norm(mesh.vertices - [5.0, -2.0, 1.0], axis=1)
    assert radius.min() > 2.7 and np.median(radius) < 3.25  # a hull holds its object, but for half a cell or a pixel


def test_its_colours_are_the_balls(tested):
    color, up = tested.mesh.visual.vertex_colors[:, :3].astype(int), tested.mesh.vertices[:, 1] + 2
    assert (color[up > 0.6, 0] > color[up > 0.6, 2] + 30).mean() > 0.98
    assert (color[up < -0.6, 2] > color[up < -0.6, 0] + 30).mean() > 0.98


def test_figures_are_those_of_an_image_of_the_mesh(tested, options):
    """The mesh as it is written, photographed by the plain renderer of meshes."""
    scene = load_scene(str(options["scene.capture"]), test_views=4)
    seen = render_mesh(tested.mesh, scene.test.cameras)
    for k, view in enumerate(v for v in tested.views if v.item["split"] == "test"):
        photo, mask = scene.test.images[k].float() / 255, scene.test.masks[k]
        assert view.figures["mask_iou"] == pytest.approx(mask_iou(seen.mask[k], mask), abs=1e-3)
        assert view.figures["psnr"] == pytest.approx(psnr(seen.color[k], photo, mask), abs=0.05)


def test_the_mesh_lies_where_the_cells_stand(work_dir, options):
    scene = load_scene(str(options["scene.capture"]), test_views=4).train
    box = torch.full((3, ), -1.0), torch.full((3, ), 1.0)
    cells = visual_hull(scene.masks, scene.scene_cameras.projections, *box, 48)
    mesh = export_mesh(work_dir, work_dir / "mesh.ply", resolution=48)
    mesh.apply_transform(scene.scene_from_world.numpy())
    assert abs(mesh.volume) == pytest.approx(float(cells.sum()) * (2 / 48)**3, rel=0.05)


def test_another_resolution_is_carved_anew(work_dir, tmp_path):
    coarse, fine = (export_mesh(work_dir, tmp_path / "mesh.ply", resolution=r) for r in (24, 96))
    assert 3 * len(coarse.vertices) < len(fine.vertices)
    up = fine.vertices[:, 1] + 2
    assert fine.visual.vertex_colors[up > 0.8, 0].mean() > fine.visual.vertex_colors[up < -0.8, 0].mean() + 50


def test_a_mesh_without_colours_has_none_and_one_of_no_resolution_is_refused(work_dir):
    assert load_framework(work_dir, "cpu").extract_mesh(24, color=False).visual.kind is None
    with pytest.raises(ConfigError, match="resolution=1"):
        load_framework(work_dir, "cpu").extract_mesh(1)


def test_a_checkpoint_gives_the_same_pictures(work_dir, options, tested):
    again = evaluate(CONFIG, work_dir, work_dir, options=options)
    for ours, theirs in zip(again.views, tested.views):
        assert torch.equal(ours.result.images["rgb"], theirs.result.images["rgb"])


def test_a_finished_run_resumes_to_the_same(work_dir, options, tmp_path):
    train(CONFIG, tmp_path, resume=str(find_checkpoint(work_dir)), options=options, progress=False)
    runner = train(CONFIG, work_dir, resume=True, options=options, progress=False)
    saved = load_checkpoint(find_checkpoint(work_dir))["state_dict"]["_extra_state"]
    assert runner.iter == 1
    assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(saved[k])) for k, v in runner.framework.state.items())


def test_reconstruct_leaves_mesh_figures_and_report(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("deep3dmap.apis.showing.turntable", lambda mesh, **_: [np.zeros((8, 8, 3), np.uint8)] * 2)
    result = reconstruct(folder, tmp_path, method="hull", minutes=5, resolution=32, progress=False, log=lambda line: None,
                         options={k: v for k, v in OPTIONS.items() if k.startswith(("model", "scene"))})  # yapf: disable
    assert all((tmp_path / name).stat().st_size for name in ("mesh.ply", "mesh.glb", "report.html"))
    written = json.loads((tmp_path / "metrics.json").read_text())["held-out views"]
    assert written["psnr"] == pytest.approx(result.metrics["held-out views"]["psnr"]) and written["mask_iou"] > 0.95


def test_before_it_is_carved_there_is_nothing():
    hull, rays = Hull(), dict(origins=torch.tensor([[0.0, 0.0, -3.0]]), directions=torch.tensor([[0.0, 0.0, 1.0]]))
    seen = hull.predict(rays)
    assert not seen["mask"].any() and (seen["rgb"] == 1).all()
    with pytest.raises(NoSurfaceError, match="nothing is carved yet"):
        hull.extract_mesh(16)


def test_photographs_without_masks_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="photos: Hull needs a mask"):
        Hull().setup(dict(masks=False, source="photos"))


def test_silhouettes_that_share_no_point_are_named():
    """Two cameras beside each other, each with its own half of the world."""
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :, :3], masks[1, :, 5:] = True, True
    projection = torch.tensor([[8.0, 0, 4, 12], [0, 8, 4, 12], [0, 0, 1, 3]]).double().expand(2, 3, 4)
    hull = Hull(resolution=16)
    hull.setup(dict(source="photos"))
    with pytest.raises(DataError, match="photos: the visual hull is empty.*model.tolerance"):
        hull.train_step(dict(images=torch.zeros(2, 8, 8, 3), masks=masks, projections=projection,
                             centers=torch.tensor([[0.0, 0, -3]] * 2).double()), OptimWrapperDict())  # yapf: disable


@pytest.mark.parametrize("wrong, message", [(dict(resolution=1), "resolution=1 must be at least 2"),
                                            (dict(tolerance=-1), "tolerance=-1"), (dict(power=-1.0), "power=-1.0"),
                                            (dict(blend="medan"), "blend='medan': did you mean 'median'")])
def test_values_out_of_range_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Hull(**wrong)
