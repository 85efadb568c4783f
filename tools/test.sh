#!/usr/bin/env bash
# Makes the environment, then runs ruff, yapf, the import contract and the tests; what follows goes to pytest:
#   bash tools/test.sh [--quick] [tests/geometry -k sphere ...]
# --quick leaves out yapf and the slow tests; see tests/conftest.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"
use_environment tests

# one thread a worker: two workers that each start a thread a core only get in each other's way
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"

say "ruff"
ruff check .
if [ "${1:-}" != --quick ]; then
    say "yapf"
    yapf --parallel --diff --recursive setup.py deep3dmap configs tools tests
fi
say "import contract"
lint-imports
say "pytest"
# worksteal: neighbours stay with one worker, so that what they share is made once
exec python -m pytest -n 2 --dist worksteal "$@"
