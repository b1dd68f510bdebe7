#!/usr/bin/env bash
# The local engine in which images are built and kept. It takes no part in a Swarm.
# Usage: engine.sh up        start it, or find it running
#        engine.sh down      stop it; images stay
#        engine.sh purge     stop it and delete its images
#        engine.sh env       print DOCKER_HOST=...
set -euo pipefail
. "$(dirname "$0")/lib.sh"
DIR=$TESTBED_STATE/engine

up() {
  if local_engine version >/dev/null 2>&1; then return; fi
  [ "$(id -u)" = 0 ] || die "needs root"
  mkdir -p "$DIR"
  end "$DIR/pid" "$DIR"
  rm -f "$DIR/dockerd.pid" "$ENGINE_SOCKET"
  # No bridge and no iptables: builds only copy files, and the machine's own rules stay as they are.
  setsid env -u DOCKER_HOST dockerd -H "unix://$ENGINE_SOCKET" --data-root "$DIR/data" --exec-root "$DIR/exec" \
    --pidfile "$DIR/dockerd.pid" --bridge none --iptables=false --ip6tables=false --log-level warn \
    >"$DIR/log" 2>&1 </dev/null 9>&- &
  echo $! >"$DIR/pid"
  for _ in $(seq 150); do
    if local_engine version >/dev/null 2>&1; then return; fi
    alive "$DIR/pid" "$DIR" || break
    sleep 0.2
  done
  tail -5 "$DIR/log" >&2
  die "the engine did not start; see $DIR/log"
}

down() { end "$DIR/pid" "$DIR"; rm -f "$ENGINE_SOCKET"; }

case ${1:-} in
up) locked engine up ;;
down) down ;;
purge) down; rm -rf --one-file-system "$DIR" ;;
env) echo "DOCKER_HOST=unix://$ENGINE_SOCKET" ;;
*) sed -n '2,6p' "$0"; exit 2 ;;
esac
