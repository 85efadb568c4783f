"""Training and fitting against the authors' own runs."""

import pytest
import torch

from deep3dmap.backbones import DeepSDFDecoder
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization
from deep3dmap.engine.optim import ProgressLR, build_optimizers
from deep3dmap.frameworks.deepsdf import DeepSDF, FitOptions, Observations, fit_code
from deep3dmap.frameworks.deepsdf.fitting import rate_of
from deep3dmap.geometry.meshing import extract_surface
from deep3dmap.schedules import Progress
from tests.goldens import assert_near, assert_same_faces, cases, files, tensor, tensors, text

RUNS = [f"train{name}" for name in files("deepsdf/train*")]


def framework_of(golden, step_chunk) -> DeepSDF:
    """The framework with the run's settings and start."""
    specs = text(golden, "specs")
    regularization = dict(start=0.0, end=specs["CodeRegularizationLambda"], length=100, first=1)
    framework = DeepSDF(dict(specs["NetworkSpecs"], code_length=specs["CodeLength"]),
                        dict(sdf=dict(type="ClampedSDFLoss", clamp=specs["ClampingDistance"]),
                             code=dict(type="CodeLoss", weight=regularization)),
                        code_bound=specs["CodeBound"],
                        step_chunk=step_chunk)  # yapf: disable
    count = len(golden["initial_codes"])
    framework.setup(dict(shapes=[str(k) for k in range(count)], offsets=torch.zeros(count, 3), scales=torch.ones(count)))
    framework.decoder.load_state_dict(tensors(golden, "state/"))
    with torch.no_grad():
        framework.codes.weight.copy_(tensor(golden["initial_codes"]))
    return framework.train()


def train(golden, step_chunk=None):
    """All steps of the run; yields the framework, the step's number, its log, rates, and the gradients of the step."""
    framework, specs = framework_of(golden, step_chunk), text(golden, "specs")
    clip, epoch = specs.get("GradientClipNorm"), len(golden["initial_codes"]) // specs["ScenesPerBatch"]
    rates = specs["LearningRateSchedule"]
    wrapper = build_optimizers(
        framework,
        dict(decoder=dict(optimizer=dict(type="Adam", lr=rates[0]["Initial"]),
                          **(dict(clip_grad=dict(max_norm=clip)) if clip else {})),
             codes=dict(optimizer=dict(type="Adam", lr=rates[1]["Initial"]))), False)  # yapf: disable
    gradients = {}
    for part in ("decoder", "codes"):
        wrapper[part].optimizer.register_step_pre_hook(lambda *_: gradients.update(
            {name: p.grad.clone() for name, p in framework.named_parameters() if p.grad is not None}))  # yapf: disable

    class Source:
        progress = Progress()

    schedules = [ProgressLR(wrapper[part], dict(start=1.0, factor=rate["Factor"], every=rate["Interval"], first=1),
                            progress=Source) for part, rate in zip(("decoder", "codes"), rates)]  # yapf: disable
    for step, (samples, indices) in enumerate(zip(golden["sdf_data"], golden["indices"])):
        framework.set_progress(Source.progress)
        samples, shape = tensor(samples), tensor(indices).long()
        batch = dict(points=samples[..., :3], sdf=samples[..., 3], shape=shape, batch_shapes=shape)
        rates = [wrapper[part].get_lr()["lr"][0] for part in ("decoder", "codes")]
        gradients.clear()
        yield framework, step, framework.train_step(batch, wrapper), rates, gradients
        Source.progress = Progress(step=step + 1, epoch=(step + 1) // epoch)
        for schedule in schedules:
            schedule.step()


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("name", RUNS)
def test_training_follows_the_reference_step_by_step(goldens, name, chunk):
    golden = goldens(f"deepsdf/{name}")
    parameters, lengths = [f"decoder.{each}" for each in golden["gradnorm_params_names"]], []
    for framework, step, log, rates, gradients in train(golden, chunk):
        assert float(log["loss"]) == pytest.approx(float(golden["loss_per_step"][step]), rel=1e-4), step
        assert rates == pytest.approx(golden["lr_used"][step].tolist()), step
        norms = torch.stack([gradients[each].norm() for each in parameters])
        torch.testing.assert_close(norms, tensor(golden["gradnorm_params_per_step"][step]), rtol=1e-3, atol=1e-6)
        norms = gradients["codes.weight"].to_dense().norm(dim=1)
        torch.testing.assert_close(norms, tensor(golden["gradnorm_codes_per_step"][step]), rtol=1e-3, atol=1e-6)
        codes = tensor(golden["codes_after_each_step"][step])
        torch.testing.assert_close(framework.codes.weight.detach(), codes, rtol=1e-3, atol=1e-5, msg=f"codes, step {step}")
        lengths.append(float(framework.codes.weight.detach().norm(dim=1).mean()))
    logged = golden["lat_mag_log"].tolist()  # once an epoch
    assert lengths[len(lengths) // len(logged) - 1::len(lengths) // len(logged)] == pytest.approx(logged, rel=1e-4)
    for key, expected in tensors(golden, "after/").items():
        torch.testing.assert_close(framework.decoder.state_dict()[key], expected, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", RUNS)
def test_the_first_steps_gradients_are_those_of_the_reference(goldens, name):
    golden = goldens(f"deepsdf/{name}")
    _, _, _, _, gradients = next(train(golden))
    assert_near(gradients["codes.weight"].to_dense(), tensor(golden["grad_codes_step0"]), 1e-4)
    for key, expected in tensors(golden, "grad/step0/").items():
        assert_near(gradients[f"decoder.{key}"], expected, 1e-4, key)


class Noting(torch.nn.Module):
    """A decoder that notes the codes which it is asked for."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder, self.codes = decoder, []

    def forward(self, codes, points):
        self.codes.append(codes[0].detach().clone())
        return self.decoder(codes, points)


@pytest.mark.parametrize("name", cases("deepsdf/reconstruct", "(.+)/settings"))
def test_fitting_a_code_follows_the_reference(goldens, name):
    golden = goldens("deepsdf/reconstruct")
    settings, config = text(golden, f"{name}/settings"), text(golden)
    decoder = DeepSDFDecoder(config.pop("latent_size"), **config)
    decoder.load_state_dict(tensors(golden, "state/"))
    pos, neg = tensor(golden["pos"]), tensor(golden["neg"])
    draws, half = golden[f"{name}/draws"], settings["num_samples"] // 2

    def draw(iteration):
        chosen = draws[iteration]
        if draws.shape[1] == 2:
            inside = neg[int(chosen[1]):int(chosen[1]) + half]
        else:
            uniform = tensor(golden[f"{name}/uniform_neg"][iteration])
            inside = neg[(uniform * len(neg)).long()]
        rows = torch.cat([pos[int(chosen[0]):int(chosen[0]) + half], inside])
        return rows[:, :3], rows[:, 3]

    options = FitOptions(iterations=settings["num_iterations"], samples=settings["num_samples"], lr=settings["lr"],
                         clamp=settings["clamp_dist"], code_weight=1e-4 * settings["l2reg"])  # yapf: disable
    assert [rate_of(k, options) for k in range(options.iterations)] == pytest.approx(golden[f"{name}/lr"].tolist())
    noting = Noting(decoder)
    fitted = fit_code(noting, Observations(pos, neg), options, draw=draw,
                      start=tensor(golden[f"{name}/initial_code"]).flatten())  # yapf: disable
    assert fitted.losses == pytest.approx(golden[f"{name}/losses"].flatten().tolist(), rel=1e-4)
    codes = torch.stack([*noting.codes[1:], fitted.code])
    torch.testing.assert_close(codes, tensor(golden[f"{name}/codes"])[:, 0], rtol=1e-3, atol=1e-5)


def assert_same_mesh(mesh, golden, prefix):
    """Vertices as sets, and faces, within 1e-5."""
    expected = golden[f"{prefix}/vertices"], golden[f"{prefix}/faces"]
    assert len(mesh[0]) == len(expected[0])
    assert_same_faces(mesh, expected, 1e-5)


@pytest.mark.parametrize("name", ["plain", "offset_scale"])
def test_a_volume_gives_the_references_mesh(goldens, name):
    golden = goldens("deepsdf/mesh")
    volume, origin, size = tensor(golden["volume"]), tensor(golden["voxel_origin"]).float(), float(golden["voxel_size"])

    def field(points):
        return volume[tuple(((points - origin) / size).round().long().T)]

    count = len(volume) - 1
    vertices, faces = extract_surface(field, origin, origin + count * size, count, method="dense")
    if name == "offset_scale":
        frame = Normalization(golden[f"{name}/offset"], float(golden[f"{name}/scale"]))
        vertices = torch.from_numpy(frame.undo(vertices.double().numpy()))
    assert_same_mesh((vertices, faces), golden, name)


def test_a_code_gives_the_references_mesh(goldens):
    golden, asked = goldens("deepsdf/mesh"), []
    config, count = text(golden, "create_mesh/config"), int(golden["create_mesh/N"])
    decoder = DeepSDFDecoder(config.pop("latent_size"), **config)
    decoder.load_state_dict(tensors(golden, "create_mesh/state/"))
    field = decoder.eval().field(tensor(golden["create_mesh/code"])[0])

    def noting(points):
        asked.append(points)
        return field(points)

    mesh = extract_surface(noting, -1.0, 1.0, count - 1, method="dense")
    points, expected = torch.cat(asked), tensor(golden["create_mesh/query_points"])
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(field(points), tensor(golden["create_mesh/volume"]).flatten(), rtol=0, atol=1e-5)
    assert_same_mesh(mesh, golden, "create_mesh")
