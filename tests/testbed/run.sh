#!/usr/bin/env bash
# Runs suites of the crate `milvus-tests` on real parts: run.sh [--drills] SUITE...
# Suites on a Swarm are one lane, suites on a Kubernetes or a bare API server another; lanes go side by side, because most of
# their time is spent waiting for processes and time-outs. In a lane suites run one after the other and one test at a time. All
# suites run even when one fails. The first lane's output comes as it is made, the other's when each suite has ended.
# With --drills the suites' drills run instead, in one lane: the tests that `#[ignore]` names as such, with the reason.
# Environment: TIMES, a file in which times.py notes how long steps and tests took.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$TESTBED_DIR/../.."
arguments=() drills=0
if [ "${1:-}" = --drills ]; then arguments=(--ignored) drills=1; shift; fi
[ $# -gt 0 ] || die "no suite named; there should be some in tests/tests"
[ "$(id -u)" = 0 ] || die "the suites on real parts start engines and networks of their own and need root"
memory=$(awk '/^MemTotal:/{print int($2 / 1048576)}' /proc/meminfo)
[ "$memory" -ge 15 ] || die "this machine has $memory GiB of memory; the reference cluster needs 16, better 24"

export TESTBED_NAME=${TESTBED_NAME:-test}
output=$(mktemp -d)
second=''
# All that a process has started. What a shell starts in the background does not hear of an interrupt.
offspring() { local child; for child in $(pgrep -P "$1"); do offspring "$child"; echo "$child"; done; }
finish() {
  local log
  # shellcheck disable=SC2046
  if [ -n "$second" ]; then kill -TERM $(offspring "$second") "$second" 2>/dev/null || true; fi
  for log in "$output"/*.log; do if [ -s "$log" ]; then cat "$log"; fi; done # a suite that was cut short
  rm -rf "$output"
  "$TESTBED_DIR/swarm.sh" down; "$TESTBED_DIR/kubernetes/cluster.sh" down; "$TESTBED_DIR/engine.sh" down
}
trap finish EXIT
trap 'exit 130' INT TERM

# What a suite leaves goes before the next one of its lane starts: both share two cores.
clear_bed() { # clear_bed SUITE
  case $1 in
    kubernetes* | chart) "$TESTBED_DIR/kubernetes/cluster.sh" down ;;
    apiserver) ;;
    *) "$TESTBED_DIR/swarm.sh" down ;;
  esac || say "what suite $1 leaves was not all taken away"
}

run_suite() { # run_suite SUITE : its outcome as a file
  local start=$SECONDS
  say "suite $1"
  if timed "suite $1" cargo test --locked --workspace --test "$1" -- --test-threads=1 --nocapture "${arguments[@]}" |
    "$TESTBED_DIR/times.py" tests "$1"; then
    touch "$output/$1.passed"
    say "suite $1 passed in $((SECONDS - start)) s"
  else
    say "suite $1 FAILED after $((SECONDS - start)) s"
  fi
  clear_bed "$1"
}

lane() { local suite; for suite in "$@"; do run_suite "$suite"; done; }
quiet_lane() { # each suite's output as a whole
  local suite
  for suite in "$@"; do
    run_suite "$suite" >"$output/$suite.log" 2>&1
    cat "$output/$suite.log"
    rm "$output/$suite.log"
  done
}

parts=() beside=() first=()
for suite in "$@"; do
  case $suite in
    kubernetes* | chart) parts=(kubernetes) beside+=("$suite") ;;
    apiserver) beside+=("$suite") ;;
    *) first+=("$suite") ;;
  esac
done
exports=$("$TESTBED_DIR/prepare.sh" "${parts[@]}")
eval "$exports"
timed 'build of the suites' cargo test --locked --workspace --no-run --quiet "${@/#/--test=}"
if [ $drills = 1 ]; then
  lane "${first[@]}" "${beside[@]}"
else
  quiet_lane "${beside[@]}" & second=$!
  lane "${first[@]}"
  wait $second
  second=''
fi
failed=()
for suite in "$@"; do [ -e "$output/$suite.passed" ] || failed+=("$suite"); done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
say "all suites on real parts passed: $*"
