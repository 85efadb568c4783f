# Sourced by the other scripts: creates the virtual environment .venv in the root of the checkout, or reuses it.
#
#   use_environment [EXTRA]   installs the package in place, with an extra if given, and activates .venv
#
# Needs Python 3.11 or newer with pip. A stamp in .venv records the requirements; while they are unchanged nothing is installed
# again. A CPU build of PyTorch saves gigabytes on a Linux machine without an NVIDIA GPU: set PIP_EXTRA_INDEX_URL to the index of
# CPU wheels given on PyTorch's installation page.

TORCH="${DEEP3DMAP_TORCH:-torch==2.13.0}"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"

say() { printf '== %s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3 python3.12 python3.13 python; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "no Python 3.11 or newer was found; install one, or set PYTHON=/path/to/python3.11 bash $0"
    return 1
}

# Checksum of the requirements, the interpreter and the checkout's path.
fingerprint() {
    .venv/bin/python - "$ROOT" "$TORCH" "$1" <<'PYTHON'
import hashlib, pathlib, sys
files = sorted(pathlib.Path("requirements").glob("*.txt")) + [pathlib.Path("setup.py"), pathlib.Path("pyproject.toml")]
text = repr([sys.version, *sys.argv[1:], *(f.read_bytes() for f in files)])
print(hashlib.sha256(text.encode()).hexdigest())
PYTHON
}

use_environment() {
    local extra="${1:-}" python
    if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python="$(find_python)"
        say "creating .venv with $python"
        "$python" -m venv --clear .venv || {
            say "$python can't create an environment; on Debian and Ubuntu: apt install python3-venv"
            return 1
        }
    fi
    local stamp=".venv/stamp-${extra:-plain}" made_from
    made_from="$(fingerprint "$extra")"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$made_from" ]; then
        say "installing $TORCH, then deep3dmap${extra:+[$extra]} (the first time this takes a few minutes)"
        # torch first and pinned: otherwise another package's requirement could install a second, larger build
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$TORCH"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}"
        # OpenCV's usual wheel needs the system's libGL; its headless build of the same version does not
        .venv/bin/python -c "import cv2" 2>/dev/null ||
            .venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps opencv-python-headless
        printf '%s\n' "$made_from" >"$stamp"
    fi
    export PATH="$ROOT/.venv/bin:$PATH" VIRTUAL_ENV="$ROOT/.venv"
}
