#!/usr/bin/env bash
# Creates the environment, then runs ruff, yapf, the import contract and the tests; further arguments are passed to pytest:
#   bash tools/test.sh [--quick] [tests/geometry -k sphere ...]
# --quick skips yapf and the slow tests; see tests/conftest.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"
use_environment tests

# one thread per worker: with one per core the two workers would slow each other down
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
# worksteal: neighbouring tests run in one worker, so that their shared fixtures are made once
exec python -m pytest -n 2 --dist worksteal "$@"
