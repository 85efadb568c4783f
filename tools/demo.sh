#!/usr/bin/env bash
# Creates the environment, then reconstructs the synthetic head; arguments are passed to `deep3dmap demo`.
set -euo pipefail
here="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"
use_environment

cd "$here"
exec deep3dmap demo "$@"
