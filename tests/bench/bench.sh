#!/usr/bin/env bash
# Speed and cost of the operator, beside a hand-written stack of the same parts on the same images, in one run.
#   bench.sh [RUNS]      default 5 runs of each, interleaved; prints medians, and where the time of the last run went
# Environment: BENCH_ARGS (passed to bench.py: --only hand|operator|api, --sample FILE, --json FILE), TESTBED_NAME.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export TESTBED_NAME=${TESTBED_NAME:-bench}
trap '"$here/../testbed/swarm.sh" down' EXIT
trap 'exit 130' INT TERM
exports=$("$here/../testbed/prepare.sh")
eval "$exports"
# shellcheck disable=SC2086
python3 "$here/bench.py" --runs "${1:-5}" ${BENCH_ARGS:-}
