#!/usr/bin/env bash
# Runs suites of the crate `milvus-tests` on real parts: run.sh [--drills] SUITE...
# One after the other and one test at a time: they share two cores and one Swarm. All suites run even when one fails.
# With --drills it runs their drills instead: the tests that `#[ignore]` names as such, with the reason.
# Environment: TIMES, a file in which times.py notes how long steps and tests took.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$TESTBED_DIR/../.."
arguments=()
if [ "${1:-}" = --drills ]; then arguments=(--ignored); shift; fi
[ $# -gt 0 ] || die "no suite named; there should be some in tests/tests"
[ "$(id -u)" = 0 ] || die "the suites on real parts start engines and networks of their own and need root"
memory=$(awk '/^MemTotal:/{print int($2 / 1048576)}' /proc/meminfo)
[ "$memory" -ge 15 ] || die "this machine has $memory GiB of memory; the reference cluster needs 16, better 24"

export TESTBED_NAME=${TESTBED_NAME:-test}
# A suite's Swarm and Kubernetes go before the next one starts: they share two cores.
clear_beds() { "$TESTBED_DIR/swarm.sh" down; "$TESTBED_DIR/kubernetes/cluster.sh" down; }
finish() { clear_beds; "$TESTBED_DIR/engine.sh" down; }
trap finish EXIT
trap 'exit 130' INT TERM
parts=()
case " $*" in *" kubernetes"* | *" chart"*) parts=(kubernetes) ;; esac
exports=$("$TESTBED_DIR/prepare.sh" "${parts[@]}")
eval "$exports"
failed=()
for suite in "$@"; do
  say "suite $suite"
  start=$SECONDS
  if timed "suite $suite" cargo test --locked --workspace --test "$suite" -- --test-threads=1 --nocapture "${arguments[@]}" |
    "$TESTBED_DIR/times.py" tests "$suite"; then
    say "suite $suite passed in $((SECONDS - start)) s"
  else
    say "suite $suite FAILED after $((SECONDS - start)) s"
    failed+=("$suite")
  fi
  clear_beds || say "what suite $suite leaves was not all taken away"
done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
say "all suites on real parts passed: $*"
