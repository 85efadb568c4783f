"""StyleGAN2's losses against the reference's."""

from deep3dmap.losses.adversarial import critic_loss, generator_loss, gradient_penalty, path_length_penalty, path_lengths
from tests.backbones.test_stylegan2 import close, close_to_largest, critic, images_of, narrow  # noqa: F401 - fixtures
from tests.goldens import read, tensor

PATHS, CRITIC = read("stylegan2/path_length"), read("stylegan2/discriminator_narrow")


def test_losses_of_logits():
    real, fake = tensor(CRITIC["loss/real"]), tensor(CRITIC["loss/fake"])
    close(critic_loss(real, fake)[None], CRITIC["loss/d_logistic"])
    close(generator_loss(fake)[None], CRITIC["loss/g_nonsat"])


def test_gradient_penalty_and_its_gradients(critic):  # noqa: F811
    critic.zero_grad()
    x = images_of(CRITIC, "r1/x").requires_grad_()
    logits = critic(x)
    penalty = gradient_penalty(logits, x)
    close(logits, CRITIC["r1/logits"])
    close(penalty[None], CRITIC["r1/value"])
    penalty.backward()
    for name in [key.removeprefix("r1/grad/") for key in CRITIC.files if key.startswith("r1/grad/")]:
        close_to_largest(critic.get_parameter(name).grad, CRITIC[f"r1/grad/{name}"])


def test_path_length_penalty_and_its_gradients(narrow):  # noqa: F811
    narrow.zero_grad()
    w, w2 = (narrow.style(tensor(PATHS[key])) for key in ("z", "z2"))
    latents = narrow.w_plus(w, w2, int(PATHS["inject_index"][0]))
    images = narrow(latents, narrow.registered_noise)
    lengths = path_lengths(images, latents, tensor(PATHS["image_noise_unscaled"]))
    penalty, mean = path_length_penalty(lengths, tensor(PATHS["mean_path_length"])[0], float(PATHS["decay"][0]))
    close(lengths, PATHS["path_lengths"])
    close(mean[None], PATHS["new_mean"])
    close(penalty[None], PATHS["penalty"])
    penalty.backward()
    for name in [key for key in PATHS.files if key.startswith("grad/")]:
        own = name.removeprefix("grad/").replace(".-1.", f".{len(narrow.to_rgbs) - 1}.")
        close_to_largest(narrow.get_parameter(own).grad, PATHS[name])
