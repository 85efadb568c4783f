"""The fitted mesh as a method: training, renderers, resumed runs, bad input."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.apis import export_mesh, test, train
from deep3dmap.datasets import TrainingViews
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.engine.checkpoint import find_checkpoint, load_checkpoint
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.frameworks import MeshFit
from deep3dmap.frameworks.base import Stage
from deep3dmap.frameworks.mesh_fit.framework import VertexValues
from deep3dmap.geometry.meshing import NoSurfaceError

evaluate = test
del test  # pytest would take it for a test

CONFIG = "configs/mesh_fit/your_own.py"
LEVELS = dict(coarse=dict(resolution=12, scale=0.5), fine=dict(resolution=20, scale=1.0))
OPTIONS = {
    "param_scheduler": None,
    "scene.test_views": 4,
    "model.levels": dict(_delete_=True, **LEVELS),
    "train_cfg.stages": [dict(name="coarse", max_steps=8), dict(name="fine", max_steps=12)]
}
SOFT = dict(type="TorchRasterizer", faces_per_pixel=12, blur_radius=3e-3)
SHADER = dict(type="MeshShader", shading="none", sigma=3e-4)
RENDERERS = dict(ours=dict(type="MeshRenderer", shader=dict(SHADER, blending="outline")),
                 soft=dict(type="MeshRenderer", rasterizer=SOFT, shader=dict(SHADER, blending="sigmoid")),
                 toy=dict(type="ToyRenderer", sigma=3e-4),
                 neural=dict(type="NeuralMeshRenderer", shader=dict(type="MeshShader", shading="none")))  # yapf: disable


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs of an ellipsoid that is red above and blue below, away from the origin."""
    ball = trimesh.creation.icosphere(subdivisions=3).apply_scale([1.0, 1.4, 0.7])
    colors = np.where(ball.vertices[:, 1:2] > 0, [[200, 40, 40, 255]], [[40, 40, 200, 255]]).astype(np.uint8)
    ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=colors)
    ball.apply_translation([5.0, -2.0, 1.0])
    path = tmp_path_factory.mktemp("capture") / "ball"
    save_capture(generate_capture(ball, views=12, test_views=0, size=(48, 48), supersample=1), path, "idr")
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


def test_held_out_views_match_their_photographs(work_dir, options, tmp_path):
    tested = evaluate(CONFIG, work_dir, tmp_path, options=options)
    figures = tested.metrics["held-out views"]
    assert figures["mask_iou_min"] > 0.9 and figures["psnr"] > 18
    extents = tested.mesh.extents / [2.0, 2.8, 1.4]
    assert np.abs(tested.mesh.bounds.mean(0) - [5, -2, 1]).max() < 0.15 and np.abs(extents - 1).max() < 0.15


def test_the_mesh_grows_finer_from_level_to_level(work_dir, tmp_path):
    sizes = [len(load_checkpoint(path)["state_dict"]["faces"]) for path in sorted(work_dir.rglob("step_*.pth"))]
    assert len(export_mesh(work_dir, tmp_path / "mesh.ply").faces) == sizes[-1] > 600


def test_a_run_stopped_in_the_second_level_resumes_exactly(work_dir, options, tmp_path):
    shorter = options | {"train_cfg.stages": [dict(name="coarse", max_steps=8), dict(name="fine", max_steps=5)]}
    train(CONFIG, tmp_path, options=shorter, progress=False)
    train(CONFIG, tmp_path, options=options, resume=True, progress=False)
    resumed, whole = (load_checkpoint(find_checkpoint(path))["state_dict"] for path in (tmp_path, work_dir))
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[key], whole[key]) for key in whole)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_renderer_fits_a_sphere_to_silhouettes(folder, renderer):
    data = TrainingViews(dict(capture=str(folder), test_views=0), views=4)
    model = MeshFit(dict(only=dict(resolution=8)), start="sphere", radius=0.5, smoothness=3.0, renderer=RENDERERS[renderer],
                    losses=dict(silhouette=dict(type="SilhouetteLoss")))  # yapf: disable
    model.setup(data.info())
    stage = Stage("only")
    model.enter_stage(stage)
    model.begin_stage(stage, data)
    optimizer = torch.optim.Adam([model.unknowns.values], lr=0.05)
    losses = []
    for step in range(24):
        loss = model(model.prepare_inputs(data.batch(step, torch.Generator()), True), mode="loss")["loss_silhouette"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.4 * sum(losses[:3])


def test_before_training_there_is_no_mesh():
    with pytest.raises(NoSurfaceError, match="no mesh before"):
        MeshFit(levels=LEVELS).extract_mesh()


@pytest.mark.parametrize("damage", ["colors.values", "faces"])
def test_weights_that_are_not_a_mesh_are_refused(damage, work_dir):
    state = load_checkpoint(find_checkpoint(work_dir))["state_dict"]
    state[damage] = state[damage][:-1] if damage == "colors.values" else state[damage] + 5
    with pytest.raises(CheckpointError, match="not a mesh"):
        MeshFit(levels=LEVELS).load_state_dict(state)


@pytest.mark.parametrize("wrong, named", [(dict(start="cube"), "start='cube'"), (dict(smoothness=-1.0), "smoothness=-1.0"),
                                          (dict(radius=2.0), "radius=2.0"),
                                          (dict(levels=dict(only=dict(resolution=2))), "levels.only"),
                                          (dict(levels=dict(only=dict(scale=0.5))), "levels.only"),
                                          (dict(levels=dict(only=dict(resolution="8"))), "levels.only"),
                                          (dict(levels=dict(only=dict(resolution=8, size=2))), "levels.only")])
def test_values_out_of_range_are_named(wrong, named):
    with pytest.raises(ConfigError, match=named):
        MeshFit(**dict(levels=LEVELS) | wrong)


def test_values_of_another_number_can_be_learned_though_an_old_graph_lingers_in_a_cycle():
    values = VertexValues()
    values.replace(torch.zeros(4, 3))
    lingering = [values.values[torch.arange(4)].sum()]
    lingering.append(lingering)
    del lingering
    values.replace(torch.zeros(7, 3))
    values.values[torch.arange(7)].sum().backward()
    assert values.values.grad.shape == (7, 3)
