"""Bad captures and photographs, given to the true commands: one clear message, and nothing half-written."""

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import load_capture, save_capture
from deep3dmap.datasets.captures.scene import normalize
from deep3dmap.datasets.synthetic import generate_capture
from tests.apis import conftest as tiny
from tests.broken import (
    Pwned,
    cameras,
    contents,
    every_mask,
    first_frame,
    first_views,
    images,
    matrices,
    one_mask_each_in_a_corner,
    pixels,
    refusal,
    run,
    sphere,
    turned_away,
)

head_file, capture_folder, config_file, work_dir = (tiny.head_file, tiny.capture_folder, tiny.config_file, tiny.work_dir)

ALL = range(9)


@pytest.fixture(scope="module")
def sound(head_file, tmp_path_factory) -> dict[str, Path]:
    """Nine views of the head with masks: with a ``scale_mat`` or without (``idr``, ``unscaled``), and as ``transforms``."""
    root = tmp_path_factory.mktemp("sound")
    capture = generate_capture(head_file, views=9, test_views=0, size=(32, 32), supersample=1)
    save_capture(normalize(capture, "hull"), root / "idr", "idr")
    save_capture(capture, root / "unscaled", "idr")
    matrices(lambda m: [m.pop(name) for name in list(m) if name.startswith("scale")])(root / "unscaled")
    save_capture(capture, root / "transforms", "transforms")
    return {name: root / name for name in ("idr", "unscaled", "transforms")}


@pytest.fixture
def broken(sound, tmp_path):
    """Makes a copy of a sound capture and breaks it."""

    def make(breaks, kind: str = "idr") -> Path:
        shutil.copytree(sound[kind], tmp_path / "mug")
        breaks(tmp_path / "mug")
        return tmp_path / "mug"

    return make


def replaced(kind: str, content: bytes | None = None, kept: float = 0.5):
    """Cut the fourth image or mask short, or write something else into it."""

    def breaks(folder: Path) -> None:
        path = images(folder, kind)[3]
        data = path.read_bytes()
        path.write_bytes(data[:int(kept * len(data))] if content is None else content)

    return breaks


def small_mask(folder: Path) -> None:
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(images(folder, "mask")[3])


def mirrored(matrix: np.ndarray) -> np.ndarray:
    return matrix @ np.diag([1, 1, -1, 1])


def shifted(pixels: float) -> np.ndarray:
    """What moves a camera's pictures to the right."""
    matrix = np.eye(4)
    matrix[0, 2] = pixels
    return matrix


def without_focal(matrix: np.ndarray) -> np.ndarray:
    return np.diag([0, 1, 1, 1]) @ matrix


def pickled_matrix(folder: Path) -> None:
    values = dict(np.load(folder / "cameras.npz"))
    np.savez(folder / "cameras.npz", **dict(values, world_mat_0=np.array([Pwned(folder)], dtype=object)))


#: How a capture is broken; what the message names; the capture that is broken.
REFUSED = {
    "an image is missing": (lambda f: images(f)[3].unlink(), ["cameras.npz", "8 images", "9 world_mat_i"], "idr"),
    "an image is cut short": (replaced("image"), ["image/view_003.png", "cut short", "copy it again"], "idr"),
    "an image is empty": (replaced("image", b""), ["image/view_003.png", "copy it again"], "idr"),
    "an image is a text": (replaced("image", b"hello"), ["image/view_003.png", "can't be read as an image"], "idr"),
    "there are no images": (lambda f: shutil.rmtree(f / "image"), ["mug/image: no images"], "idr"),
    "a mask has another size": (small_mask, ["mask/view_003.png: mask is 16x16", "image/view_003.png is 32x32"], "idr"),
    "a mask is cut short": (replaced("mask"), ["mask/view_003.png", "copy it again"], "idr"),
    "a mask is missing": (lambda f: images(f, "mask")[3].unlink(), ["mask: 8 masks but 9 images", "view_003.png"], "idr"),
    "masks of zeros and ones": (every_mask(lambda m: m // 255), ["mask/view_000.png", "multiply it by 255"], "idr"),
    "one mask is empty": (every_mask(np.zeros_like, 1), ["view_000", "the mask is empty", "leave the view out"], "idr"),
    "all masks are empty": (every_mask(np.zeros_like), ["every mask is empty", "fix it"], "idr"),
    "all masks are full": (every_mask(lambda m: 0 * m + 255), ["every mask covers the whole image", "only the object"], "idr"),
    "one mask is inverted": (every_mask(lambda m: 255 - m, 1), ["view_000", "the mask seems inverted"], "idr"),
    "all masks are inverted": (every_mask(lambda m: 255 - m), ["every mask seems inverted", "object must be white"], "idr"),
    "all masks are inverted, unscaled": (every_mask(lambda m: 255 - m), ["every mask seems inverted"], "unscaled"),
    "fewer cameras than images": (matrices(lambda m: [m.pop("world_mat_8"), m.pop("scale_mat_8")]),
                                  ["cameras.npz: 9 images", "8 world_mat_i"], "idr"),
    "more cameras than images": (matrices(lambda m: m.update(world_mat_9=m["world_mat_8"], scale_mat_9=m["scale_mat_8"])),
                                 ["cameras.npz: 9 images", "10 world_mat_i"], "idr"),
    "a camera is missing between others": (matrices(lambda m: m.pop("world_mat_4")), ["world_mat_4 is missing"], "idr"),
    "the cameras' file is cut short": (lambda f: (f / "cameras.npz").write_bytes((f / "cameras.npz").read_bytes()[:900]),
                                       ["cameras.npz: can't be read", "copy or create it again"], "idr"),
    "the cameras' file is a pickle": (pickled_matrix, ["cameras.npz: world_mat_0", "pickled objects"], "idr"),
    "a camera is not a number": (cameras(lambda w: w * np.nan, [2]), ["cameras.npz: world_mat_2", "finite"], "idr"),
    "a singular camera": (cameras(lambda w: np.diag([1, 1, 0, 1]) @ w, [2]), ["world_mat_2", "invertible"], "idr"),
    "a camera without focal length": (cameras(without_focal, [2]), ["world_mat_2", "invertible"], "idr"),
    "a mirrored camera": (cameras(mirrored, [2]), ["world_mat_2: the camera is mirrored"], "idr"),
    "a mirrored camera, unscaled": (cameras(mirrored, [2]), ["view_002", "behind"], "unscaled"),
    "all cameras are mirrored": (cameras(mirrored, ALL), ["world_mat_0: the camera is mirrored"], "idr"),
    "all cameras look away": (cameras(turned_away, ALL), ["most of the silhouettes", "look away", "axes convention"], "idr"),
    "all cameras look away, unscaled": (cameras(turned_away, ALL), ["silhouettes don't overlap", "look away"], "unscaled"),
    "one camera looks away, unscaled": (cameras(turned_away, [2]), ["silhouettes don't overlap", "view_002"], "unscaled"),
    "all cameras in one place": (matrices(lambda m: m.update({f"world_mat_{k}": m["world_mat_0"] for k in ALL})),
                                 ["all cameras are at the same position"], "idr"),
    "no normalisation": (matrices(lambda m: m.update(scale_mat_0=np.diag([1, 2, 3, 1.0]))),
                         ["scale_mat_0 is not a similarity", "recompute it"], "idr"),
    "the object is outside the sphere": (sphere(4), ["outside the unit sphere", "radius", "normalization='hull'"], "idr"),
    "the object is far from the sphere": (sphere(300), ["outside the unit sphere", "scale_mat"], "idr"),
    "the sphere holds a small part of the object": (sphere(0, 0.1), ["outside the unit sphere", "scale_mat"], "idr"),
    "one view": (first_views(1), ["view", "from different sides"], "idr"),
    "principal points far off": (cameras(lambda w: shifted(9) @ w, ALL), ["they agree", "principal point"], "unscaled"),
    "no overlap between views": (one_mask_each_in_a_corner, ["in most of the silhouettes"], "idr"),
    "no overlap between views, unscaled": (one_mask_each_in_a_corner, ["silhouettes don't overlap"], "unscaled"),
    "a mirrored frame": (first_frame(lambda f: f["transform_matrix"][0].__setitem__(slice(0, 3), [
        -x for x in f["transform_matrix"][0][:3]])), ["frames[0]", "mirrored"], "transforms"),
    "a frame without focal length": (first_frame(lambda f: f.update(fl_x=0.0)), ["frames[0]", "positive"], "transforms"),
    "a frame that is not a number": (first_frame(lambda f: f.update(fl_x=float("nan"))), ["frames[0]"], "transforms"),
    "a frame with too few numbers": (first_frame(lambda f: f["transform_matrix"][0].pop()), ["frames[0]"], "transforms"),
}  # yapf: disable


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_capture_is_refused_by_every_command_and_nothing_is_written(case, broken, config_file, tmp_path, capsys):
    breaks, words, kind = REFUSED[case]
    folder = broken(breaks, kind)
    before = contents(folder)
    assert run("check", folder) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    assert errors and not (folder / "pwned").exists()
    commands = [["train", config_file, "--work-dir", tmp_path / "out", "--cfg-options", f"scene.capture={folder}"],
                ["reconstruct", folder, "-o", tmp_path / "out"]]  # yapf: disable
    for command in commands:
        message = refusal(capsys, *command)
        assert message.startswith("DataError: ") and str(folder) in message
        assert not [word for word in words if word not in message], message
        assert not (tmp_path / "out").exists()
    assert contents(folder) == before


ODD = {
    "one mask is full": (every_mask(lambda m: 0 * m + 255, 1), "view_000.png: the mask covers the whole image", "idr"),
    "one camera looks away": (cameras(turned_away, [2]), "the point that the others look at behind them: view_002", "idr"),
    "two views": (first_views(2), "only 2 views", "idr"),
    "the sphere cuts the object": (sphere(0, 0.6), "outside the unit sphere, where nothing is reconstructed", "idr"),
    "the cameras are in the sphere": (sphere(0, 100), "cameras lie inside the unit sphere", "idr"),
}  # yapf: disable


@pytest.mark.parametrize("case", ODD)
def test_suspicious_captures_give_warnings(case, broken, capsys):
    breaks, words, kind = ODD[case]
    assert run("check", broken(breaks, kind)) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert any(words in line for line in warnings), warnings


def test_a_valid_capture_has_neither_errors_nor_warnings(sound):
    for folder in sound.values():
        report = check_capture(folder)
        assert report.errors == report.warnings == []


def test_a_capture_without_masks_can_be_used_by_no_method_and_they_are_asked_for(broken, tmp_path, capsys):
    folder = broken(lambda f: shutil.rmtree(f / "mask"))
    assert run("check", folder) == 1
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert "by any method" in verdict and "Hull needs masks" in verdict and "IDR needs masks" in verdict
    assert "make-masks" in refusal(capsys, "reconstruct", folder, "-o", tmp_path / "out") and not (tmp_path / "out").exists()


def test_the_methods_that_can_use_a_capture_are_named(sound, capsys):
    assert run("check", sound["idr"]) == 0
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert "Hull" in verdict and "IDR" in verdict and "DeepSDF" not in verdict


def test_an_inverted_mask_of_a_held_out_view_is_refused(broken, config_file, tmp_path, capsys):
    folder = broken(every_mask(lambda m: 255 - m, 1))
    options = ["--cfg-options", f"scene.capture={folder}", "scene.test_views=['view_000']"]
    assert "view_000: the mask seems inverted" in refusal(capsys, "train", config_file, "--work-dir", tmp_path / "out",
                                                          *options)


def test_training_reports_warnings_and_continues(broken, config_file, tmp_path, capsys):
    folder = broken(every_mask(lambda m: 0 * m + 255, 1))
    options = [f"scene.capture={folder}", "scene.test_views=0", "train_cfg.max_steps=1", "default_hooks.pictures=None"]
    assert run("train", config_file, "--work-dir", tmp_path / "out", "--cfg-options", *options) == 0
    assert "warning: view_000: the mask covers the whole image" in capsys.readouterr().err


def test_data_that_changed_are_read_anew(broken, config_file, tmp_path, capsys):
    folder = broken(lambda f: None)
    options = ["--cfg-options", f"scene.capture={folder}", "train_cfg.max_steps=1", "default_hooks.pictures=None"]
    assert run("train", config_file, "--work-dir", tmp_path / "out", *options) == 0
    replaced("image")(folder)
    assert "view_003.png" in refusal(capsys, "train", config_file, "--work-dir", tmp_path / "out", *options)


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def png16(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def saved(picture: Image.Image, ending: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, ending, **options)
    return buffer.getvalue()


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


#: How a photograph is written (from its RGB array, name's ending), and how it is to be read: exactly, or nearly.
KINDS = {
    "16-bit grey": (lambda a: png16(grey(a).astype(np.uint16) * 257), ".png", lambda a: grey(a)[..., None].repeat(3, 2), 0),
    "16-bit colour": (lambda a: png16(a[..., ::-1].astype(np.uint16) * 257), ".png", lambda a: a, 0),
    "8-bit grey": (lambda a: saved(Image.fromarray(grey(a)), "png"), ".png", lambda a: grey(a)[..., None].repeat(3, 2), 0),
    "grey and alpha": (lambda a: saved(Image.fromarray(a).convert("LA"), "png"), ".png",
                       lambda a: grey(a)[..., None].repeat(3, 2), 0),
    "palette": (lambda a: saved(Image.fromarray(a).quantize(256), "png"), ".png", lambda a: a, 24),
    "CMYK": (lambda a: saved(Image.fromarray(a).convert("CMYK"), "tiff"), ".tif", lambda a: a, 0),
    "CMYK JPEG": (lambda a: saved(Image.fromarray(a).convert("CMYK"), "jpeg", quality=100), ".jpg", lambda a: a, 8),
    "turned by EXIF": (lambda a: saved(Image.fromarray(a), "png", exif=exif(6)), ".png", lambda a: a, 0),
}  # yapf: disable


@pytest.mark.parametrize("kind", KINDS)
def test_photographs_of_every_usual_kind_are_read_as_they_lie_in_their_files(kind, broken):
    encode, ending, expected, tolerance = KINDS[kind]
    rgb = []

    def rewrite(folder: Path) -> None:
        for path in images(folder):
            rgb.append(pixels(path))
            path.unlink()
            path.with_suffix(ending).write_bytes(encode(rgb[-1]))

    folder = broken(rewrite)
    assert check_capture(folder).errors == []
    read = load_capture(folder).images.numpy()
    for photograph, image in zip(rgb, read):
        assert np.abs(image.astype(int) - expected(photograph)).mean() <= tolerance / 4
        assert np.abs(image.astype(int) - expected(photograph)).max() <= 2 * tolerance


@pytest.mark.parametrize("array", [np.zeros((32, 32), np.float32), np.zeros((32, 32), np.int32)], ids=["float", "32-bit"])
def test_photographs_without_a_known_range_are_refused(array, broken, capsys, tmp_path):

    def rewrite(folder: Path) -> None:
        images(folder)[3].unlink()
        Image.fromarray(array).save(folder / "image" / "view_003.tif")

    message = refusal(capsys, "reconstruct", broken(rewrite), "-o", tmp_path / "out")
    assert "view_003.tif" in message and "save it with 8 or 16 bits" in message and not (tmp_path / "out").exists()
