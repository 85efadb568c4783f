"""Reconstruction of a folder of photographs within a time limit: mesh, metrics and report."""

import math
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack

from mmengine.config import Config
from mmengine.dist import is_main_process

from deep3dmap.apis.arguments import TrainingArguments
from deep3dmap.apis.growing import growing
from deep3dmap.apis.inference import model_of
from deep3dmap.apis.instances import evaluate_instances, train_instances
from deep3dmap.apis.own_gan import OwnGAN, without_missing_files
from deep3dmap.apis.preflight import preflight
from deep3dmap.apis.showing import Interrupted, show_results, show_run
from deep3dmap.apis.work_folder import (
    GROWING,
    check_weights,
    earlier_run_moved,
    locked_folder,
    record_weights,
    refuse_result,
    restored_on_early_failure,
    result_files,
)
from deep3dmap.engine.config import build_runner, find_config, load_config, merge_options
from deep3dmap.engine.config_check import check_config
from deep3dmap.engine.launching import is_first_started
from deep3dmap.engine.loops import OutOfTimeError
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.engine.sequence_progress import SEQUENCES
from deep3dmap.engine.testing import TestResult
from deep3dmap.errors import ConfigError, TrainingError
from deep3dmap.frameworks.cards import Card, card_of, cards, find_card
from deep3dmap.geometry.unwrap import load_xatlas
from deep3dmap.io.files import remove
from deep3dmap.ranges import AtLeastTwo, Count, Positive

#: Time reserved for mesh, pictures and report: seconds, plus a share of the minutes, and maximum seconds.
RESERVE_SECONDS, RESERVE_PART, RESERVE_MOST = 10.0, 0.12, 150.0

#: A user's GAN in the work folder.
GAN = "gan.pth"

#: Further seconds for a texture: charts of 100,000 triangles take 10, colours from 36 photographs as many.
TEXTURE_SECONDS = 45.0

#: Share of these seconds for the steps after mesh and views (surface metrics, turntable, report), and its maximum.
REPORT_PART, REPORT_MOST = 0.25, 15.0


def reconstruct(source: str | Path | None,
                output: str | Path = "out",
                *,
                method: str = "idr",
                weights: str | Path | None = None,
                minutes: Positive = 20.0,
                config: str | Path | None = None,
                gan: str | Path | None = None,
                resume: bool = False,
                overwrite: bool = False,
                resolution: AtLeastTwo | None = None,
                texture: bool = False,
                detector: str | None = None,
                every: Count | None = None,
                online: bool = False,
                mesh_every: Count | None = None,
                options: Mapping | None = None,
                command: str = "",
                started: float | None = None,
                log=print,
                **arguments: Unpack[TrainingArguments]) -> TestResult:
    """From photographs to a mesh and a report, within given minutes.

    A single-scene method is trained on the source; a method trained on a data set, or with given ``weights``, runs inference.
    Writes the reconstruction (see :func:`deep3dmap.apis.results.write_result`), ``metrics.json``, ``report.html`` and the work
    folder ``run/`` to ``output``; for a scene also ``mesh.glb`` and ``turntable.mp4``.

    Args:
        source: photographs with cameras and masks, or a data set's name (see ``deep3dmap check``); or other input of the
            method. None for the config's data.
        output: folder to write to.
        method: ``idr``; ``h3dnet`` for heads; ``hull``: a first mesh within seconds; ``mesh``: a fitted one within minutes;
            ``prnet`` for faces; ``fusion`` for recordings of depth cameras; ``neuralrecon`` for videos with poses;
            ``gan2shape`` for one picture of a face; ``deepsdf`` with ``--weights`` (all: ``deep3dmap list methods``).
        weights: checkpoint or work folder of a trained model: infer with it instead of training.
        minutes: time limit of the whole command.
        config: config to use instead of the method's own; one of the same folder by its name alone, such as ``cat``.
        gan: trained StyleGAN2 for a method that uses one: published ``.pt``, checkpoint or work folder.
        resume: continue the run in the output folder.
        overwrite: replace the result in the output folder. Only when the new run begins; other files are kept.
        resolution: resolution of the mesh (default: the config's).
        texture: also write ``textured.glb``, the mesh with a texture from the training photographs.
        detector: of faces: auto, mtcnn, haar, lbp, none (one face a picture), given (boxes in files).
        every: of a video or recording, take each so many-th frame.
        online: show the mesh in a browser while it grows along a recording; needs viser.
        mesh_every: also write the mesh to ``growing/`` after every so many fragments of a recording (with ``fusion`` blocks of
            eight frames).
        options: as for :func:`deep3dmap.apis.train.train`.
        started: value of ``time.monotonic()`` at which the minutes begin; now by default.
        command: the command line, for the report.
        log: prints a line.

    Raises:
        ConfigError: if ``output`` holds an earlier result (with ``resume``: one of other weights), another run uses it, the
            time is up before the first step, or there is no scene for a texture.
        Interrupted: after Ctrl-C, once everything is written.
        TrainingError: if runs of some of several pictures failed, once the others' results are written.
    """
    start = time.monotonic() if started is None else started
    cfg, weights = _prepare(source, method, config, weights, options, dict(detector=detector, every=every))
    own = None if gan is None else OwnGAN.read(gan)
    missing = []
    if own is not None:
        own.put_into(cfg, Path(output) / "run" / GAN)
        missing = without_missing_files(cfg)
    if texture:
        _check_texture(cfg)
    if resolution is not None:
        cfg.test_cfg = dict(cfg.get("test_cfg") or {}, resolution=resolution)
    output = Path(output)
    with growing(cfg, output, mesh_every, online, log) as hooks, locked_folder(output):
        if not (resume or overwrite):
            refuse_result(output)
        if resume and weights:
            check_weights(output / "run", weights)
        preflight(cfg)
        log = log if is_first_started() else lambda line: None
        if missing:
            log(f"goes without {', '.join(missing)}: no such files")
        words = dict(command=command, again=_resume_command(command, source, minutes, output), data=str(source or ""))
        if "instances" in cfg:
            return _each_instance(cfg, output, own, start, minutes, resume, arguments, words, log)
        painting = reserve(minutes, texture) - reserve(minutes)
        arguments = dict(arguments, custom_hooks=[*(cfg.get("custom_hooks") or ()), *hooks])
        runner = (_infer(cfg, weights, output, resume, arguments)
                  if weights else _train(cfg, output, start, minutes, resume, arguments, painting))  # yapf: disable
        interrupted = not weights and runner.train_loop.interrupted
        left = start + 60 * minutes - time.monotonic() - min(REPORT_PART * reserve(minutes), REPORT_MOST) - painting
        left = max(min(left, reserve(minutes)) if interrupted else left, 1.0)
        runner.test_cfg = dict(runner.test_cfg or {}, max_seconds=left)
        try:
            log("reconstructing" if weights else "extracting the mesh and rendering the views")
            result = show_run(runner, output, words, start, log, texture)
        except KeyboardInterrupt:
            saved = "" if weights else f" while writing the results; the training is saved in {runner.work_dir}"
            raise Interrupted(f"interrupted{saved}; continue with: {words['again']}") from None
        remove(output / "run" / SEQUENCES)
        return result


def _prepare(source, method: str, config, weights, options: Mapping | None,
             reading: Mapping) -> tuple[Config, Path | None]:  # yapf: disable
    """The config with the user's data, and the checkpoint for inference, or None for training; ``reading`` are settings of the
    data, beside the source in the config."""
    if config is None:
        card = find_card(method, "your_own")
        cfg, weights = load_config(card.your_own, options), weights or card.weights
    else:
        cfg = load_config(_config_path(config, method), options)
        card = card_of(cfg.model.type)
    if source is not None and card is None and not cfg.get("scene"):
        raise ConfigError(
            f"{config}: {cfg.model.type} has no card that says which key of its config takes '{source}', and the "
            "config has no scene (docs/add_a_framework.md)")
    keys = (card or Card).source.split()
    if source is not None:
        cfg.merge_from_dict(dict.fromkeys(keys, str(source)))
    places = [key.rpartition(".")[0] for key in keys]
    if given := {f"{place}.{key}": value for place in places for key, value in reading.items() if value is not None}:
        merge_options(cfg, given, "the command line:")
        check_config(cfg, "the command line")
    if weights is None and card is not None and card.learns_from_data:
        raise ConfigError(f"--method {card.name}: {card.title} is trained on a data set and needs trained "
                          "weights; give --weights CHECKPOINT (or a work folder)")
    if weights is None:
        return cfg, None
    if "instances" in cfg:
        raise ConfigError(f"--weights: {cfg.model.type} is trained on each picture anew" +
                          (", and --gan names its GAN" if "generator" in cfg.model else ""))
    path, cfg.model = model_of(weights, cfg.model.type)
    merge_options(cfg, {key: value for key, value in (options or {}).items() if key.startswith("model.")}, "--cfg-options")
    return cfg, path


def _config_path(config: str | Path, method: str) -> Path:
    """The path of a config, or of the one of a name among the method's."""
    path, card = Path(config), cards().get(method)
    beside = Path(card.your_own).with_name(f"{path.name}.py") if card is not None and card.your_own else path
    return find_config(beside) if path.name == str(config) and find_config(beside).is_file() else path


def _infer(cfg: Config, weights: Path, output: Path, resume: bool, arguments: Mapping) -> ReconstructionRunner:
    """A runner with trained weights, which the work folder then names."""
    runner = build_runner(cfg, work_dir=str(output / "run"), resume=resume, **arguments)
    runner.test_cfg = dict(runner.test_cfg or {}, resumable=True)
    runner.load_checkpoint(str(weights))
    if is_main_process():
        record_weights(output / "run", weights)
        if not resume:
            remove(output / GROWING)
    return runner


def _resume_command(command: str, folder: str | Path | None, minutes: float, output: Path) -> str:
    """The command that resumes a reconstruction."""
    if not command:
        source = ["reconstruct", str(folder)] if folder is not None else ["demo"]
        command = shlex.join(["deep3dmap", *source, "--minutes", f"{minutes:g}", "-o", str(output)])
    words = [word for word in shlex.split(command) if word not in ("--resume", "--overwrite")]
    return shlex.join([*words, "--resume"])


def reserve(minutes: float, texture: bool = False) -> float:
    """Seconds reserved for the steps after training."""
    seconds = min(RESERVE_SECONDS + RESERVE_PART * 60 * minutes, RESERVE_MOST) + TEXTURE_SECONDS * texture
    return min(seconds, 0.5 * 60 * minutes)


def _check_texture(cfg: Config) -> None:
    """Fail early where no texture could be painted at the end.

    Raises:
        ConfigError: if the config has no scene, or one for each instance.
        MissingDependencyError: without xatlas.
    """
    if "instances" in cfg or not cfg.get("scene"):
        raise ConfigError(f"--texture: {cfg.model.type} isn't given the photographs of one scene here, to paint one from")
    load_xatlas()


def _each_instance(cfg: Config, output: Path, own: OwnGAN | None, start: float, minutes: float, resume: bool,
                   arguments: Mapping, words: Mapping[str, str], log: Callable[[str], object]) -> TestResult:  # yapf: disable
    """Train one run for each instance, and show the results of those that didn't fail.

    Raises:
        Interrupted: after Ctrl-C.
        TrainingError: if some failed, after the others' results are written.
    """
    run, left = output / "run", start + 60 * minutes - reserve(minutes) - time.monotonic()
    if left <= 0:
        raise _too_short(start, minutes)
    earlier = () if resume else (*result_files(output), run)
    with earlier_run_moved(output, earlier, run, keep=False), restored_on_early_failure(run):
        if own is not None:
            own.save(run / GAN)
        runs = train_instances(cfg, run, resume, arguments, log, left)
    text, code = runs.report()
    if runs.interrupted:
        raise Interrupted(text)
    if len(runs.failures) < len(runs.names):
        log("writing the results")
        result = evaluate_instances(cfg, run, arguments, runs.failures)
        result.notes += [f"{name} failed: {reason}" for name, reason in runs.failures.items()]
        show_results(result, cfg, output, words, start, log)
    if code:
        raise TrainingError(text)
    return result


def _train(cfg, output: Path, start: float, minutes: float, resume: bool, arguments: Mapping,
           painting: float) -> ReconstructionRunner:  # yapf: disable
    deadline = start + 60 * minutes - reserve(minutes) - painting
    if time.monotonic() > deadline and not resume:
        raise _too_short(start, minutes)
    cfg.train_cfg.pop("max_minutes", None)
    run = output / "run"
    earlier = () if resume else (*result_files(output), run, output / GROWING)
    with earlier_run_moved(output, earlier, run, keep=False), restored_on_early_failure(run):
        runner = build_runner(cfg, work_dir=str(run), resume=resume, deadline=deadline, **arguments)
        try:
            runner.train()
        except OutOfTimeError:
            raise _too_short(start, minutes) from None
    return runner


def _too_short(start: float, minutes: float) -> ConfigError:
    """Error if the time is up before the first step; suggests a minimum from the time spent."""
    spent = time.monotonic() - start
    least = math.ceil((2 * spent + RESERVE_SECONDS) / 6) / 10
    return ConfigError(f"--minutes {minutes:g}: {spent:.0f} s passed before the first training step, and mesh and "
                       f"report take time, too; give at least --minutes {least:g}")
