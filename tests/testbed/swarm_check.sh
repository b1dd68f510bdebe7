#!/usr/bin/env bash
# Checks the Swarm testbed itself: three managers and a worker, images through the mirror, a killed node, a boot after a
# power loss of all nodes, a cut, and that nothing is left behind. Takes about two minutes; prints what it measured.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export TESTBED_NAME=${TESTBED_NAME:-check}
swarm=$TESTBED_DIR/swarm.sh
SECONDS=0
trap '[ $? = 0 ] || echo "swarm_check.sh failed in line $LINENO" >&2; "$swarm" down' EXIT
measured() { printf '%-44s %5.1f s\n' "$1" "$(bc <<<"$(date +%s.%N) - $t0" 2>/dev/null || python3 -c "import time; print(time.time() - $t0)")"; }
since() { t0=$(date +%s.%N); }
until_ok() { # until_ok SECONDS COMMAND...
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $deadline ] || { echo "not so in time: $*" >&2; return 1; }; sleep 0.2; done
}
node_is() { [ "$(docker node ls --format '{{.Hostname}} {{.Status}}' | awk -v n="$1" '$1 == n {print $2}')" = "$2" ]; }
running() { [ "$(docker service ps -f desired-state=running --format '{{.CurrentState}}' "$1" | grep -c ^Running)" = "$2" ]; }

"$swarm" push "$IMAGE_ETCD"
since; SEED=0 "$swarm" up 3 1 >/dev/null; measured "3 managers, 1 worker, nodes without images"
export "$("$swarm" env)"
since; docker service create -q -d --name probe --mode global --endpoint-mode dnsrr --no-resolve-image --stop-grace-period 1s \
  --mount type=volume,source=probe,target=/data --publish mode=host,published=8123,target=8123 \
  "$IMAGE_ETCD" python3 -m http.server 8123 -d /data >/dev/null
until_ok 120 running probe 4; measured "a service pulled and running on 4 nodes"
while read -r n _ address _; do until_ok 10 curl -fs --noproxy '*' "http://$address:8123/"; echo "node $n answers at $address:8123"; done < <("$swarm" nodes)
since; if docker run --rm --pull always registry-absent.invalid/none:1 2>/dev/null; then exit 1; fi; measured "an image that does not exist is refused after"
since; "$swarm" kill 3; until_ok 60 node_is node3 Down; measured "killed node shows Down after"
since; "$swarm" start 3; until_ok 60 node_is node3 Ready; measured "started again: Ready after"
until_ok 60 running probe 4
since; "$swarm" cut 4; until_ok 60 node_is node4 Down; measured "cut node shows Down after"
since; "$swarm" heal 4; until_ok 60 node_is node4 Ready; measured "healed: Ready after"
docker config create kept - <<<"x" >/dev/null
DOCKER_HOST=$("$swarm" env 2 | cut -d= -f2) docker run --rm --network none -v probe:/data "$IMAGE_ETCD" sh -c 'echo kept >/data/kept'
since; "$swarm" kill all; "$swarm" start all; until_ok 90 docker config inspect kept; measured "all nodes lost power: store answers after"
until_ok 90 running probe 4; measured "  and all tasks run after"
address2=$("$swarm" nodes | awk '$1 == 2 {print $3}')
until_ok 10 curl -fs --noproxy '*' "http://$address2:8123/kept"
"$swarm" down
if ip -o link | grep "mtb-$TESTBED_NAME" || ip netns list | grep "mtb-$TESTBED_NAME" || iptables -S | grep "mtb-$TESTBED_NAME" ||
  grep "swarms/$TESTBED_NAME/" /proc/mounts || ps axww -o args | grep -F "swarms/$TESTBED_NAME/" | grep -v grep || [ -e "$TESTBED_STATE/swarms/$TESTBED_NAME" ]; then
  echo "the lines above are left over" >&2; exit 1
fi
echo "ok: nothing left behind"
