#!/bin/sh
# tests/levels.sh BUILD -- installs a package build into BUILD/root and runs every test with each level of the kernels
# that this processor has; the loader's mask plays the older processor.
set -eu
build=$1
root=$(cd "$build" && pwd)/root
rm -rf "$root"
meson install -C "$build" --no-rebuild --quiet --destdir "$root" >/dev/null
loader=$(readelf -l "$root/usr/bin/retort" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
tests=$(find "$root" -name retort_tests)
for mask in x86-64-v4:x86-64-v3 x86-64-v3 none; do
  wanted=${mask%%:*}
  [ "$wanted" = none ] && wanted=x86-64
  found=$("$loader" --glibc-hwcaps-mask "$mask" "$root/usr/bin/retort" doctor | sed -n 's/.*"kernels_for": "\(.*\)".*/\1/p')
  if [ "$found" != "$wanted" ]; then
    if [ "$wanted" = x86-64-v4 ] && ! grep -q avx512vl /proc/cpuinfo; then echo "== $wanted: this processor has it not"; continue; fi
    echo "levels: the loader took $found, not $wanted" >&2
    exit 1
  fi
  echo "== $found"
  "$loader" --glibc-hwcaps-mask "$mask" "$tests" "-tce=install:*"
done
