#!/bin/sh
# The release (about 3 GB of Python) is laid once, on a simulated Mac named `factory`, by the roles that every Mac
# goes through; its folder then becomes a read-only layer under all the others.
set -eu
cd "$(dirname "$0")/.."
id=$(lab/release-id.sh)
[ -e ".lab/factory/opt/raylab/releases/$id/complete" ] && exit 0
echo "raylab: laying release $id on the simulated Mac 'factory' (once; running simulated Macs are shut down)"
lab down # the layer that all Macs share changes: none may be on
lab wipe factory
lab up factory
trap 'lab halt factory' EXIT
pyinfra -y inventory/factory.py deploy/release.py
trap - EXIT
lab halt factory
lab bake factory /opt/raylab/releases
lab bake factory /opt/raylab/depot
lab wipe factory
