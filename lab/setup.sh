#!/bin/sh
# Installs what a fresh Debian machine lacks: the packages in apt-packages.txt, then the locked virtual environment.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-python3}

missing=""
for package in $(grep -v '^#' "$here/lab/apt-packages.txt"); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || { echo "raylab: these Debian packages are missing and need root:$missing" >&2; exit 1; }
    echo "raylab: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # The lab needs the programs, not the services that these packages would start.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

if [ ! -x "$here/.venv/bin/uv" ]; then
    echo "raylab: making the virtual environment in .venv"
    "$python" -m venv "$here/.venv"
    "$here/.venv/bin/pip" install -q --disable-pip-version-check uv==0.13.8
fi
cd "$here" && VIRTUAL_ENV="$here/.venv" .venv/bin/uv sync -q --frozen --inexact
