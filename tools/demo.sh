#!/usr/bin/env bash
# Makes the environment, then reconstructs the generated head; what follows goes to `deep3dmap demo`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh"
use_environment

exec deep3dmap demo "$@"
