"""Training and fitting against the authors' own runs."""

import json

import pytest
import torch

from deep3dmap.engine.optim import ProgressLR, build_optimizers
from deep3dmap.frameworks.deepsdf import DeepSDF, FitOptions, Observations, fit_code
from deep3dmap.processes import draw_together
from deep3dmap.schedules import Progress


def network(specs: dict, code_length: int) -> dict:
    return dict(specs, code_length=code_length)


def state(golden, prefix: str) -> dict:
    return {key[len(prefix):]: torch.from_numpy(golden[key]) for key in golden.files if key.startswith(prefix)}


def framework_of(golden, step_chunk) -> DeepSDF:
    """The framework with the run's settings and start."""
    specs = json.loads(str(golden["specs"]))
    regularization = dict(start=0.0, end=specs["CodeRegularizationLambda"], length=100, first=1)
    framework = DeepSDF(network(specs["NetworkSpecs"], specs["CodeLength"]),
                        dict(sdf=dict(type="ClampedSDFLoss", clamp=specs["ClampingDistance"]),
                             code=dict(type="CodeLoss", weight=regularization)),
                        code_bound=specs["CodeBound"],
                        step_chunk=step_chunk)  # yapf: disable
    count = len(golden["initial_codes"])
    framework.setup(dict(shapes=[str(k) for k in range(count)], offsets=torch.zeros(count, 3), scales=torch.ones(count)))
    framework.decoder.load_state_dict(state(golden, "state/"))
    with torch.no_grad():
        framework.codes.weight.copy_(torch.from_numpy(golden["initial_codes"]))
    return framework.train()


def train(golden, step_chunk=None):
    """All steps of the run; yields the framework, the step's number and its log."""
    framework, specs = framework_of(golden, step_chunk), json.loads(str(golden["specs"]))
    clip = specs.get("GradientClipNorm")
    rates = specs["LearningRateSchedule"]
    wrapper = build_optimizers(
        framework,
        dict(decoder=dict(optimizer=dict(type="Adam", lr=rates[0]["Initial"]),
                          **(dict(clip_grad=dict(max_norm=clip)) if clip else {})),
             codes=dict(optimizer=dict(type="Adam", lr=rates[1]["Initial"]))), False)  # yapf: disable

    class Source:
        progress = Progress()

    schedules = [ProgressLR(wrapper[part], dict(start=1.0, factor=rate["Factor"], every=rate["Interval"], first=1),
                            progress=Source) for part, rate in zip(("decoder", "codes"), rates)]  # yapf: disable
    for step, (samples, indices) in enumerate(zip(golden["sdf_data"], golden["indices"])):
        framework.set_progress(Source.progress)
        samples, shape = torch.from_numpy(samples), torch.from_numpy(indices).long()
        batch = dict(points=samples[..., :3], sdf=samples[..., 3], shape=shape, batch_shapes=shape)
        rates = [wrapper[part].get_lr()["lr"][0] for part in ("decoder", "codes")]
        yield framework, step, framework.train_step(batch, wrapper), rates
        Source.progress = Progress(step=step + 1, epoch=(step + 1) // 2)
        for schedule in schedules:
            schedule.step()


@pytest.mark.parametrize("name, chunk", [("train", None), ("train", 1), ("train_split_and_clip", 1),
                                         ("train_split_and_clip", None)])
def test_training_follows_the_reference_step_by_step(goldens, name, chunk):
    golden = goldens(f"deepsdf/{name}")
    for framework, step, log, rates in train(golden, chunk):
        assert float(log["loss"]) == pytest.approx(float(golden["loss_per_step"][step]), rel=1e-4), step
        assert rates == pytest.approx(golden["lr_used"][step].tolist()), step
        codes = torch.from_numpy(golden["codes_after_each_step"][step])
        torch.testing.assert_close(framework.codes.weight.detach(), codes, rtol=1e-3, atol=1e-5, msg=f"codes, step {step}")
    for key, expected in state(golden, "after/").items():
        torch.testing.assert_close(framework.decoder.state_dict()[key], expected, rtol=1e-3, atol=1e-4, msg=key)


def test_the_first_steps_gradients_are_those_of_the_reference(goldens):
    golden = goldens("deepsdf/train")
    framework = framework_of(golden, None)
    samples, shape = torch.from_numpy(golden["sdf_data"][0]), torch.from_numpy(golden["indices"][0]).long()
    inputs = dict(points=samples[..., :3], sdf=samples[..., 3], shape=shape, batch_shapes=shape)
    inputs = framework.draw(inputs, draw_together(3))
    framework.parse_losses(framework(inputs, mode="loss"))[0].backward()
    torch.testing.assert_close(framework.codes.weight.grad, torch.from_numpy(golden["grad_codes_step0"]), rtol=1e-3, atol=1e-6)
    for name, parameter in framework.decoder.named_parameters():
        expected = torch.from_numpy(golden[f"grad/step0/{name}"])
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()), msg=name)


def test_the_mean_length_of_the_codes_is_that_of_the_references_log(goldens):
    golden, lengths = goldens("deepsdf/train"), []
    for framework, *_ in train(golden):
        lengths.append(float(framework.codes.weight.detach().norm(dim=1).mean()))
    assert lengths[1::2] == pytest.approx(golden["lat_mag_log"].tolist(), rel=1e-4)


@pytest.mark.parametrize("name", ["l2reg", "plain", "few_negatives"])
def test_fitting_a_code_follows_the_reference(goldens, name):
    golden = goldens("deepsdf/reconstruct")
    settings, config = json.loads(str(golden[f"{name}/settings"])), json.loads(str(golden["config"]))
    framework = DeepSDF(network({k: v for k, v in config.items() if k != "latent_size"}, config["latent_size"]), {})
    framework.decoder.load_state_dict(state(golden, "state/"))
    pos, neg = torch.from_numpy(golden["pos"]), torch.from_numpy(golden["neg"])
    draws, half = golden[f"{name}/draws"], settings["num_samples"] // 2

    def draw(iteration):
        chosen = draws[iteration]
        if draws.shape[1] == 2:
            inside = neg[int(chosen[1]):int(chosen[1]) + half]
        else:
            uniform = torch.from_numpy(golden[f"{name}/uniform_neg"][iteration])
            inside = neg[(uniform * len(neg)).long()]
        rows = torch.cat([pos[int(chosen[0]):int(chosen[0]) + half], inside])
        return rows[:, :3], rows[:, 3]

    options = FitOptions(iterations=settings["num_iterations"], samples=settings["num_samples"], lr=settings["lr"],
                         clamp=settings["clamp_dist"], code_weight=1e-4 * settings["l2reg"])  # yapf: disable
    fitted = fit_code(framework.decoder, Observations(pos, neg), options, draw=draw,
                      start=torch.from_numpy(golden[f"{name}/initial_code"]).flatten())  # yapf: disable
    assert fitted.losses == pytest.approx(golden[f"{name}/losses"].flatten().tolist(), rel=1e-4)
    torch.testing.assert_close(fitted.code, torch.from_numpy(golden[f"{name}/codes"][-1]).flatten(), rtol=1e-3, atol=1e-5)
