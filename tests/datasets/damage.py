"""Ways to damage a capture on disk: strategies that change one thing in a folder and say what they did."""

import io
import json
import os
import re
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from PIL import Image

WORDS = ["nan", "inf", "-inf", "1e400", "-1e300", "1e30", "1e16", "1e-320", "0", "-1", "4294967295", "9" * 5000,
         "18446744073709551616", "abc", "0x10", "1,5", "--", "\u0663", "None", "é", "\0", "\ufeff", "%s", "/dev/zero",
         "x" * 5000, "../" * 40 + "etc/passwd", "\u2028", "#", ""]  # yapf: disable
VALUES = [None, True, False, 0, -1, 1e308, 10**400, 1e-320, float("nan"), float("inf"), -float("inf"), "", "12", "abc",
          "\ud800.png", "a\0b", "x" * 5000, "~root", "..", "/", [], [[]], [1, [2]], {}, {"a": 1}, [0.0] * 16, [[1, 2], [3]],
          [None] * 4, "OPENCV_FISHEYE"]  # yapf: disable
LENS_KEYS = ("camera_model is_fisheye k4 lens rolling_shutter k1 k3 p1 cx fl_x fl_y w h camera_angle_x camera_angle_y "
             "mask_path scene_from_world frames file_path").split()
NUMBERS = [float("nan"), float("inf"), -1.0, 0.0, 1e300, -1e300, 1e30, 1e16, 1e-320, 1e-30, 5.5]
INTEGERS = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**60, 2**63, 2**64 - 1]
ENTRIES = ["world_mat_99.npy", "world_mat_0", "world_mat_-1.npy", "world_mat_00.npy", "scale_mat_\u0663.npy", "../x.npy",
           f"world_mat_{'9' * 5000}.npy"]  # yapf: disable
MODES = ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16"]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _pick(draw, paths: list[Path]) -> Path:
    assume(paths)  # an earlier damage may have left nothing to choose from
    return draw(st.sampled_from(paths))


def _image_files(folder: Path) -> list[Path]:
    return [p for p in _files(folder) if p.suffix.lower() in (".png", ".jpg", ".bmp")]


def _camera_files(folder: Path) -> list[Path]:
    return [p for p in _files(folder) if p.suffix in (".npz", ".txt", ".json", ".bin")]


def _bytes_of(draw, folder: Path) -> tuple[Path, bytearray]:
    """A file, with cameras as likely as images."""
    file = _pick(draw, draw(st.sampled_from([_camera_files(folder) or _files(folder), _files(folder)])))
    return file, bytearray(file.read_bytes())


def cut_short(draw, folder):
    file, data = _bytes_of(draw, folder)
    file.write_bytes(data[:draw(st.integers(0, len(data)))])


def flip_bytes(draw, folder):
    file, data = _bytes_of(draw, folder)
    for _ in range(draw(st.integers(1, 6)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    file.write_bytes(data)


def insert_bytes(draw, folder):
    file, data = _bytes_of(draw, folder)
    at = draw(st.integers(0, len(data)))
    data[at:at] = draw(st.one_of(st.binary(max_size=20), st.sampled_from([b"\xff\xfe", b"\0" * 64, bytes(data), b"\r"])))
    file.write_bytes(data)


def replace_content(draw, folder):
    file, _ = _bytes_of(draw, folder)
    other = _pick(draw, _files(folder)).read_bytes()
    file.write_bytes(draw(st.sampled_from([b"", b"\n", b"PK\x05\x06" + b"\0" * 18, b"\x80\x04.", b"[" * 200_000, other])))


def hostile_word(draw, folder):
    """Overwrite four or eight bytes by a count or number that no file should hold; often the first, which are counts."""
    file, data = _bytes_of(draw, folder)
    words = [*(struct.pack("<Q", i) for i in INTEGERS), *(struct.pack("<d", x) for x in NUMBERS), b"\xff" * 4, b"\0" * 4]
    word = draw(st.sampled_from(words))
    at = draw(st.one_of(st.just(0), st.integers(0, len(data))))
    data[at:at + len(word)] = word
    file.write_bytes(data)


def delete(draw, folder):
    _pick(draw, _files(folder)).unlink()


def become_something_else(draw, folder):
    """Put a folder, a link to itself, a dangling link or a pipe in a file's place."""
    file = _pick(draw, _files(folder))
    file.unlink()
    kind = draw(st.sampled_from(["folder", "loop", "dangling", "pipe"]))
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file.name if kind == "loop" else "nowhere/at all")


def lose_folder(draw, folder):
    """Delete a folder, or put a file, a link to itself or to its parent in its place."""
    lost = _pick(draw, sorted(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()))
    shutil.rmtree(lost, ignore_errors=True)
    kind = draw(st.sampled_from(["gone", "file", "loop", "parent"]))
    if kind == "file":
        lost.write_bytes(b"x")
    elif kind != "gone":
        lost.symlink_to(lost.name if kind == "loop" else "..")


def add_file(draw, folder):
    file = _pick(draw, _files(folder))
    names = ["copy" + file.suffix, file.name.upper(), "transforms_train.json", "b_par.txt", ".hidden.png", b"\xff\xfe.png",
             "x" * 250 + ".p"]  # yapf: disable
    name = os.fsdecode(draw(st.sampled_from(names)))
    if not (file.parent / name).exists():
        shutil.copyfile(file, file.parent / name)


def rename(draw, folder):
    file = _pick(draw, _files(folder))
    stem = draw(st.sampled_from(["zzz", file.stem + "é", os.fsdecode(b"\xff"), None]))
    name = file.stem if stem is None else stem + file.suffix
    assume(not (file.parent / name).exists())
    file.rename(file.parent / name)


def _text_of(draw, folder: Path) -> tuple[Path, str]:
    file = _pick(draw, [p for p in _camera_files(folder) if p.suffix in (".txt", ".json")] or _camera_files(folder))
    return file, file.read_bytes().decode("utf-8", "replace")


def change_word(draw, folder):
    file, text = _text_of(draw, folder)
    spans = [m.span() for m in re.finditer(r"[^\s,:\[\]{}]+", text)]
    start, end = draw(st.sampled_from(spans or [(0, 0)]))
    file.write_text(text[:start] + draw(st.sampled_from(WORDS)) + text[end:], encoding="utf-8", newline="")


def change_lines(draw, folder):
    file, text = _text_of(draw, folder)
    lines = text.split("\n")
    i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    how = draw(st.sampled_from(["drop", "twice", "swap", "join", "comment"]))
    if how == "drop":
        del lines[i]
    elif how == "twice":
        lines.insert(j, lines[i])
    elif how == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif how == "join":
        lines[i:i + 2] = [" ".join(lines[i:i + 2])]
    else:
        lines[i] = "#" + lines[i]
    file.write_text("\n".join(lines), encoding="utf-8", newline="")


def _places(node, found=None) -> list[tuple]:
    """All (container, key) of a JSON document."""
    found = [] if found is None else found
    for key in (node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()):
        found.append((node, key))
        _places(node[key], found)
    return found


def _deep(depth: int):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def change_json(draw, folder):
    file = _pick(draw, [p for p in _camera_files(folder) if p.suffix == ".json"] or _camera_files(folder))
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return
    change_document(draw, document)
    file.write_text(json.dumps(document))


def change_document(draw, document) -> None:
    """Change one value of a JSON document."""
    places = _places(document)
    if not places:
        return
    node, key = draw(st.sampled_from(places))
    how = draw(st.sampled_from(["replace", "drop", "add", "twice", "deep"]))
    if how == "replace":
        node[key] = draw(st.sampled_from(VALUES))
    elif how == "drop":
        del node[key]
    elif how == "deep":
        node[key] = _deep(draw(st.sampled_from([40, 100, 800])))
    elif isinstance(node, dict):
        node[draw(st.sampled_from(LENS_KEYS))] = draw(st.sampled_from([*VALUES, *NUMBERS]))
    else:
        node.append(node[key])


class Pickled:
    """What a hostile file would run."""

    ran = []

    def __reduce__(self):
        return (Pickled.ran.append, ("unpickled", ))


def _hostile_array(draw, value: np.ndarray) -> bytes:
    """An npy file instead of the given one."""
    how = draw(st.sampled_from(["number", "shape", "type", "object", "header"]))
    if how == "header":
        shape = draw(st.sampled_from([(4, 4), (10**12, ), (4, 4, 0), (-4, -4), (2**40, 2**40)]))
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        text = str(header | draw(st.sampled_from([{}, {"descr": "|O"}, {"descr": "|V0"}, {"descr": "<c16"}, {"shape": "x"}])))
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + value.tobytes()
    if how == "number":
        value = value.copy()
        value.flat[draw(st.integers(0, value.size - 1))] = draw(st.sampled_from(NUMBERS))
    elif how == "shape":
        value = draw(st.sampled_from([value[:2], value[None], value.ravel(), value[0, 0], value[:0], np.zeros((300, 300)),
                                      -value, 0 * value, value.T]))  # yapf: disable
    elif how == "type":
        kinds = ["f2", "f4", "c16", "U9", "S4", "?", "i8", "u1", "M8[s]", "longdouble", "f8,f8"]
        value = value.astype(draw(st.sampled_from(kinds)))
    else:
        value = np.full(value.shape, Pickled(), object)
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


def change_npz(draw, folder):
    file = _pick(draw, [p for p in _camera_files(folder) if p.suffix == ".npz"] or _camera_files(folder))
    try:
        with zipfile.ZipFile(file) as packed:
            entries = [(info.filename, packed.read(info)) for info in packed.infolist()]
            i = draw(st.integers(0, len(entries) - 1))
            matrix = np.load(io.BytesIO(entries[i][1]))
    except Exception:  # damaged before
        assume(False)
    how = draw(st.sampled_from(["content", "content", "drop", "rename", "twice"]))
    if how == "content":
        with np.errstate(all="ignore"):
            entries[i] = (entries[i][0], _hostile_array(draw, matrix))
    elif how == "drop":
        del entries[i]
    elif how == "rename":
        entries[i] = (draw(st.sampled_from(ENTRIES)), entries[i][1])
    else:
        entries.append(("world_mat_00.npy", entries[i][1]))
    packing = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(file, "w", packing) as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in entries:
            packed.writestr(name, data)


def _png_that_claims(width: int, height: int, data: bytes) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)


def change_image(draw, folder):
    """Another size, another kind of pixels, another format, or a header that promises more than there is."""
    images = _image_files(folder)
    if not images:
        return
    file = _pick(draw, images)
    how = draw(st.sampled_from(["size", "mode", "format", "claim", "text"]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    size = draw(st.sampled_from([(6, 8), (1, 1), (300, 2), (5, 5)]))
    image = Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8))
    if how == "size":
        image.save(file)
    elif how == "mode":
        mode = draw(st.sampled_from(MODES))
        image = image.convert("I").convert("I;16") if mode == "I;16" else image.convert("L").convert(
            "F") if mode == "F" else image
        image = Image.new("LAB", image.size) if mode == "LAB" else image if image.mode == mode else image.convert(mode)
        image.save(file, format="PNG" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "TIFF")
    elif how == "format":
        image.save(file, format=draw(st.sampled_from(["GIF", "EPS", "PDF", "PPM", "BMP", "WEBP", "TGA"])))
    elif how == "claim":
        sides = draw(st.sampled_from([(0, 5), (40_000, 40_000), (2**31 - 1, 2**31 - 1), (9000, 9000), (12, 10**6)]))
        file.write_bytes(_png_that_claims(*sides, b"\0" * 50))
    else:
        texts = [b"P6 0 0 255\n", b"P6 99999999 99999999 255\n", b"P5 4 4 65535\n" + b"\1" * 9, b"P3 2 2 255 -1 x"]
        file.write_bytes(draw(st.sampled_from(texts)))


DAMAGES = (cut_short, flip_bytes, insert_bytes, replace_content, hostile_word, delete, become_something_else, lose_folder,
           add_file, rename, change_word, change_lines, change_json, change_npz, change_image)


def applicable(folder: Path) -> list:
    """The damages that can be done to a capture: those to text, JSON and arrays only where there are such."""
    suffixes = {p.suffix for p in _camera_files(folder)}
    wanted = {change_word: {".txt", ".json"}, change_lines: {".txt", ".json"}, change_json: {".json"}, change_npz: {".npz"}}
    return [d for d in DAMAGES if d not in wanted or wanted[d] & suffixes]
