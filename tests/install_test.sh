#!/bin/sh
# tests/install_test.sh BUILD SOURCE -- installs BUILD into a temporary folder and builds and runs the example program
# against what was installed, with nothing of the source tree in reach.
set -eu
build=$1; source=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$build" --no-rebuild --quiet --destdir "$root" --skip-subprojects >/dev/null
pc=$(find "$root" -name retort.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH="$(dirname "$pc")"
cp "$source/examples/distil.cpp" "$root/"
cd "$root"
flags=$(pkg-config --define-variable=prefix="$root$prefix" --cflags --libs retort)
# shellcheck disable=SC2086
"${CXX:-g++}" -O0 distil.cpp $flags -fopenmp -Wl,-rpath,"$(dirname "$(find "$root" -name libretort.so)")" -o distil
./distil
"$root$prefix/bin/retort" methods kd >/dev/null
