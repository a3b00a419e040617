#!/bin/sh
# Makes .venv out of the wheels in offline/, without a network. PYTHON names the Python to use.
set -eu
cd "$(dirname "$0")"

machine='import platform as p, sys; v = sys.version_info; print("%s-%d.%d" % ({("Darwin", "arm64"): "osx-arm64",
("Linux", "x86_64"): "linux-64"}.get((p.system(), p.machine()), p.machine()), v[0], v[1]))'
found=""
for python in ${PYTHON:-python3.12 python3.11 python3}; do
    kind=$("$python" -c "$machine" 2>/dev/null) || continue
    if [ -f "offline/requirements-$kind.txt" ]; then
        found=yes
        break
    fi
done
if [ -z "$found" ]; then
    echo "raylab: there is no Python here that these wheels are for:" offline/requirements-*.txt >&2
    echo "Install one (3.12 on a Mac), and run PYTHON=/path/to/it $0" >&2
    exit 1
fi

"$python" -m venv --clear .venv
pip() {
    # What this machine says about indexes does not count: there are none.
    PIP_CONFIG_FILE=/dev/null .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"
}
pip install --quiet --no-index --find-links offline/wheels --no-deps --require-hashes -r "offline/requirements-$kind.txt"
pip install --quiet --no-index --find-links offline/wheels --no-deps -e .
touch .venv/ready
echo "raylab: .venv is ready: $(.venv/bin/python --version), $kind"
