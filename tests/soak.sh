#!/bin/sh
# tests/soak.sh -- every test with full counts; the result is kept in tests/SOAK.md.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
begin=$(date +%s)
RETORT_SOAK=1 ./build/retort_tests 2>&1 | tee "$log" || true
{
  echo "# Last soak"
  echo
  echo "Commit $(git rev-parse --short HEAD), $(date -u +%Y-%m-%d), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), $(nproc) cores, $(($(date +%s) - begin)) s:"
  echo "$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)."
} > tests/SOAK.md
rm -f "$log"
cat tests/SOAK.md
