#!/bin/sh
# tests/shards.sh PROGRAM [FILTERS] -- every test once (or what doctest's filters choose), in a shuffled order that is
# always the same, cut into pieces that as many processes as there are cores take one after the other. Ends with
# "N passed, M failed"; a piece that dies counts as one failure.
set -eu
program=$1
shift
cores=$(nproc)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
count=$("$program" "$@" --count | sed -n 's/.*filters: \([0-9]*\).*/\1/p')
piece=$((count / (24 * cores) + 1))
# Threads that wait for each other sleep, as the cores are shared with the other pieces.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
seq 1 "$piece" "$count" | xargs -P "$cores" -I '{}' sh -c '
  first=$1 last=$(($1 + $2 - 1)) log=$3/$1
  shift 3
  "$0" "$@" --order-by=rand --rand-seed=1 --first="$first" --last="$last" > "$log" 2>&1 || true
  grep -vE "^\[doctest\] (doctest version|run with|test cases|assertions|Status: SUCCESS)|^[0-9]+ passed, 0 failed$|^=+$" "$log" || true
' "$program" '{}' "$piece" "$logs" "$@" || true
passed=0 failed=0
for first in $(seq 1 "$piece" "$count"); do
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$logs/$first" | tail -n 1 || true)
  if [ -z "$line" ]; then echo "shards: the tests from $first on died" >&2; failed=$((failed + 1)); continue; fi
  passed=$((passed + ${line%% *}))
  line=${line#*, }
  failed=$((failed + ${line%% *}))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" = "$count" ]
