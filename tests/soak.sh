#!/bin/bash
# tests/soak.sh -- every test with full counts, on all cores; the result is kept in tests/SOAK.md.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
begin=$(date +%s)
RETORT_SOAK=1 tests/shards.sh build/retort_tests 2>&1 | tee "$log" || status=$?
{
  echo "# Last soak"
  echo
  echo "Commit $(git rev-parse --short HEAD), $(date -u +%Y-%m-%d), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, $(($(date +%s) - begin)) s:"
  echo "$(tail -n 1 "$log")."
} > tests/SOAK.md
cat tests/SOAK.md
exit "$status"
