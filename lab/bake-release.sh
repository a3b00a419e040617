#!/bin/sh
# The releases (about 3 GB of Python each) are laid once, on a simulated Mac named `factory`, by the roles that every
# Mac goes through; their folder then becomes a read-only layer under all the others. It holds the one that they run,
# one with another wheel, and those that the arguments name, as far as this machine could make them.
set -eu
cd "$(dirname "$0")/.."
sets="locks locks-next"
for locks in "$@"; do
    [ ! -e ".lab/artifacts/$locks" ] || sets="$sets $locks"
done
baked=yes
for locks in $sets; do
    [ -e ".lab/factory/opt/raylab/releases/$(lab/release-id.sh $locks)/complete" ] || baked=
done
[ -z "$baked" ] || exit 0
lab down # the layer that all Macs share changes: none may be on
lab wipe factory
# All of them anew: what this Mac found below it already would not be moved there again.
rm -rf .lab/factory/opt/raylab/releases .lab/factory/opt/raylab/depot
lab up factory
trap 'lab halt factory' EXIT
for locks in $sets; do
    echo "raylab: laying release $(lab/release-id.sh $locks) on the simulated Mac 'factory' (once)"
    LOCKS=$locks pyinfra -y inventory/factory.py deploy/release.py
done
trap - EXIT
lab halt factory
lab bake factory /opt/raylab/releases
lab bake factory /opt/raylab/depot
lab wipe factory
