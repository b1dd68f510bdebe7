#!/usr/bin/env bash
# From nothing to a search in a real, distributed Milvus on Docker Swarm, and back to nothing.
#   demo.sh up      install what is missing, build, start a 3-node Swarm and the operator, apply the sample, search
#   demo.sh down    remove all of it (KEEP=1 keeps the built images for the next time)
# When DOCKER_HOST names a manager of a Swarm, that Swarm is used instead of the testbed. With more than one node it needs a
# registry that all nodes can pull from for the gateway's image: DEMO_REGISTRY=registry.example:5000/folder
# Environment: SAMPLE (default deploy/samples/demo.yaml), DEMO_STATE (folder of the demo's own files).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
ROOT=$(cd "$TESTBED_DIR/../.." && pwd)
export TESTBED_NAME=${TESTBED_NAME:-demo}
STATE=${DEMO_STATE:-$TESTBED_STATE/$TESTBED_NAME}
SAMPLE=${SAMPLE:-$ROOT/deploy/samples/demo.yaml}
export KUBECONFIG=$STATE/kubeconfig

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
resource() { awk '/^kind: MilvusCluster/{k = 1} k && /^  name:/{print $2; exit}' "$SAMPLE"; }
free_port() { python3 -c 'import socket, sys
for port in [int(sys.argv[1]), 0]:
    s = socket.socket()
    try: s.bind(("127.0.0.1", port))
    except OSError: continue
    print(s.getsockname()[1]); break' "$1"; }

own_swarm() { # the caller's DOCKER_HOST is a manager of an active Swarm
  [ -n "${DOCKER_HOST:-}" ] && [ "$(timeout 10 docker info -f '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null)" = "active true" ]
}

use_testbed() {
  step "Images of Milvus, etcd, MinIO and Pulsar from package registries, and the operator"
  local building
  (nice -n 5 "$TESTBED_DIR/images.sh"; "$TESTBED_DIR/client.sh" setup) & building=$!
  trap 'kill $building 2>/dev/null || true' INT TERM
  OPERATOR=$("$ROOT/deploy/build.sh" milvus-operator)
  "$TESTBED_DIR/engine.sh" up
  GATEWAY_IMAGE=$(DOCKER_HOST=unix://$ENGINE_SOCKET "$ROOT/deploy/image.sh" gateway | awk -F': ' '/^milvus-gateway:/{print $1}')
  wait $building || die "the images could not be built; see above"
  trap - INT TERM
  "$TESTBED_DIR/swarm.sh" push "${IMAGES[@]}" "$GATEWAY_IMAGE"
  step "A Docker Swarm of three managers on this machine"
  "$TESTBED_DIR/swarm.sh" ensure 3
  export "$("$TESTBED_DIR/swarm.sh" env)"
  docker node ls
}

use_own_swarm() {
  local nodes image
  nodes=$(docker node ls -q | wc -l)
  step "Your Swarm at $DOCKER_HOST: $nodes node(s)"
  OPERATOR=$("$ROOT/deploy/build.sh" milvus-operator)
  "$TESTBED_DIR/client.sh" setup
  if [ -n "${DEMO_REGISTRY:-}" ]; then
    GATEWAY_IMAGE=$(IMAGE_PREFIX=${DEMO_REGISTRY%/}/ "$ROOT/deploy/image.sh" gateway | awk '/milvus-gateway:/{sub(/: [0-9]+ bytes.*/, ""); print}')
    docker push -q "$GATEWAY_IMAGE" >/dev/null
  elif [ "$nodes" = 1 ]; then
    GATEWAY_IMAGE=$("$ROOT/deploy/image.sh" gateway | awk -F': ' '/^milvus-gateway:/{print $1}')
  else
    die "this Swarm has $nodes nodes: set DEMO_REGISTRY to a registry that all of them can pull from (or unset DOCKER_HOST for a Swarm of the demo's own)"
  fi
  for image in "${IMAGES[@]}"; do
    docker image inspect "$image" >/dev/null 2>&1 && continue
    docker pull -q "$image" >/dev/null 2>&1 && continue
    [ "$nodes" = 1 ] || die "the image $image cannot be pulled, and the demo can build it for a one-node Swarm only"
    say "no registry has $image: building it here"
    IMAGES_DOCKER_HOST=$DOCKER_HOST "$TESTBED_DIR/images.sh"
  done
}

start_operator() {
  step "The operator, with its own Kubernetes-style API (nothing else is installed on the Swarm)"
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  if ! alive "$STATE/operator.pid" "$OPERATOR"; then
    echo "$DOCKER_HOST" >"$STATE/docker-host"
    local listen metrics
    listen=127.0.0.1:$(free_port 6443) metrics=127.0.0.1:$(free_port 8080)
    rm -f "$KUBECONFIG"
    setsid "$OPERATOR" run --platform swarm --docker-host "$DOCKER_HOST" --api-listen "$listen" --write-kubeconfig "$KUBECONFIG" \
      --store swarm --keys "$STATE/keys" --metrics-listen "$metrics" --gateway-image "$GATEWAY_IMAGE" \
      >"$STATE/operator.log" 2>&1 </dev/null &
    echo $! >"$STATE/operator.pid"
  fi
  for _ in $(seq 100); do
    if [ -s "$KUBECONFIG" ] && kubectl get --raw /readyz >/dev/null 2>&1; then break; fi
    alive "$STATE/operator.pid" "$OPERATOR" || { tail -5 "$STATE/operator.log" >&2; die "the operator ended; its log is $STATE/operator.log"; }
    sleep 0.2
  done
  kubectl api-resources --api-group=operator.milvus.io
}

show() { # what a person would watch in two more terminals, until the resource is ready or the time is up
  local name=$1 watchers=() code=0
  kubectl get milvuscluster "$name" -w & watchers+=($!)
  kubectl get events -w --no-headers -o custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message > >(sed -u 's/^/    /') & watchers+=($!)
  trap 'kill "${watchers[@]}" 2>/dev/null || true' RETURN
  kubectl wait --for=condition=Ready "milvuscluster/$name" --timeout="${DEMO_TIMEOUT:-300}s" >/dev/null || code=$?
  sleep 0.5 # the last lines of the watches
  return $code
}

up() {
  local name endpoint started
  [ "$(id -u)" = 0 ] || die "needs root"
  step "What this machine lacks"
  "$TESTBED_DIR/packages.sh"
  OPERATOR='' GATEWAY_IMAGE=''
  if own_swarm; then use_own_swarm; else unset DOCKER_HOST; use_testbed; fi
  start_operator
  name=$(resource)
  step "kubectl apply -f ${SAMPLE#"$ROOT"/}"
  started=$(date +%s.%N)
  kubectl apply -f "$SAMPLE"
  show "$name" || { kubectl describe milvuscluster "$name"; die "the cluster did not become ready; the operator's log is $STATE/operator.log"; }
  python3 -c "import time; print(f'\nReady {time.time() - $started:.0f} s after kubectl apply')"
  endpoint=$(kubectl get milvuscluster "$name" -o jsonpath='{.status.endpoint}')
  step "A client at $endpoint: 5000 vectors in, and each finds itself"
  "$TESTBED_DIR/client.sh" search --uri "http://${endpoint#*://}" --wait 60
  step "Try next"
  cat <<NEXT
  export KUBECONFIG=$KUBECONFIG DOCKER_HOST=$DOCKER_HOST
  kubectl get milvusclusters -w                                     # in a second terminal
  kubectl describe milvuscluster $name                              # conditions, and the events that led here
  kubectl scale milvuscluster $name --replicas=2                    # a second query node
  docker stack ps $name                                             # the same cluster as Docker people see it
  docker service rm ${name}_etcd-1                                       # break something: it comes back, with its data
  ${TESTBED_DIR#"$PWD"/}/client.sh search --uri http://${endpoint#*://} --check-only   # the rows are still there
  kubectl delete milvuscluster $name                                # volumes stay, unless deletionPolicy is Delete
  make demo-down                                                    # and nothing is left
NEXT
}

down() {
  local host name
  host=$(cat "$STATE/docker-host" 2>/dev/null || true)
  if [ -n "$host" ] && [ "${host#*"$TESTBED_STATE/swarms/"}" = "$host" ]; then # a Swarm that is not ours stays: take out what we put in
    name=$(resource)
    export DOCKER_HOST=$host
    if kubectl get milvuscluster "$name" >/dev/null 2>&1; then
      kubectl patch milvuscluster "$name" --type=merge -p '{"spec":{"deletionPolicy":"Delete"}}' >/dev/null
      kubectl delete milvuscluster "$name" --timeout=180s
    fi
    end "$STATE/operator.pid" milvus-operator
    "$("$ROOT/deploy/build.sh" milvus-operator)" uninstall swarm --docker-host "$host" --purge-store --purge-keys --yes || say "the operator's store could not be removed from $host"
    unset DOCKER_HOST
  fi
  end "$STATE/operator.pid" milvus-operator
  "$TESTBED_DIR/swarm.sh" down
  rm -rf --one-file-system "$STATE"
  if [ "${KEEP:-0}" != 1 ] && ! ls -d "$TESTBED_STATE"/swarms/*/ >/dev/null 2>&1; then # no other Swarm uses the images
    "$TESTBED_DIR/engine.sh" purge
    "$TESTBED_DIR/swarm.sh" purge
    rm -rf --one-file-system "$TESTBED_STATE"
  fi
}

case ${1:-} in
up) up ;;
down) down ;;
*) sed -n '2,7p' "$0"; exit 2 ;;
esac
