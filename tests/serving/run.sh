#!/bin/sh
# The tests of serving/ under the very env that the simulated Macs run, at its own path, in a mount namespace.
# Arguments are pytest's. Needs root and `make release`.
set -eu
cd "$(dirname "$0")/../.."
id=$(lab/release-id.sh)
# pytest is not in a release: it stands beside it.
[ -e .lab/pytest/pytest ] || .venv/bin/uv pip install -q --python 3.11 --target .lab/pytest pytest
export RAYLAB_ENV="/opt/raylab/releases/$id/env" PYTHONPATH="serving:.:.lab/pytest" PYTHONDONTWRITEBYTECODE=1 RAY_AUTH_MODE=disabled
# Shared memory of its own, too: engines that a test ends leave theirs, under names that the next ones would take.
exec unshare --mount sh -c 'mount -t tmpfs none /dev/shm && mount -t tmpfs none /opt && mkdir /opt/raylab &&
    mount --bind .lab/factory/opt/raylab /opt/raylab && exec "$RAYLAB_ENV/bin/python" -m pytest \
        -W ignore::DeprecationWarning "$@"' sh "${@:-tests/serving}"
