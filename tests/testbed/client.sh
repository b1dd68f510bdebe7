#!/usr/bin/env bash
# The Milvus client: pymilvus 2.3.7 in a Python environment of its own, made on first use.
# Usage: client.sh setup                make the environment now
#        client.sh search ARGS...       run search.py with it
#        client.sh python ARGS...       run its Python
set -euo pipefail
. "$(dirname "$0")/lib.sh"
DIR=$TESTBED_STATE/client
# Newer marshmallow, environs and setuptools break this release of pymilvus at import.
PACKAGES=('pymilvus==2.3.7' 'marshmallow<4' 'environs<10' 'setuptools<70')

setup() {
  [ "$(cat "$DIR/.packages" 2>/dev/null)" = "${PACKAGES[*]}" ] && return
  say "making the Python environment with ${PACKAGES[0]}"
  rm -rf "$DIR"
  mkdir -p "$TESTBED_STATE/work"
  python3 -m venv "$DIR"
  again "$DIR/bin/pip" install -q --only-binary grpcio,pandas,pyarrow,numpy "${PACKAGES[@]}" >"$TESTBED_STATE/work/client.log" 2>&1 </dev/null ||
    { tail -5 "$TESTBED_STATE/work/client.log" >&2; die "pip failed; see $TESTBED_STATE/work/client.log"; }
  "$DIR/bin/python" -c 'import pymilvus'
  echo "${PACKAGES[*]}" >"$DIR/.packages" # last: a half-made environment is made again
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
setup) locked client setup ;;
search) locked client setup; exec "$DIR/bin/python" "$TESTBED_DIR/search.py" "$@" ;;
python) locked client setup; exec "$DIR/bin/python" "$@" ;;
*) sed -n '2,5p' "$0"; exit 2 ;;
esac
