#!/usr/bin/env bash
# Makes everything that the tests on real parts use and prints, as shell exports, where it is:
#   eval "$(tests/testbed/prepare.sh)" && cargo test -p milvus-tests --test swarm
# Second runs find it all there and take seconds. What is printed:
#   MILVUS_TEST_SWARM           swarm.sh: Swarms that can be killed, cut and healed
#   MILVUS_TEST_CLIENT          client.sh: a real client's round through an endpoint
#   MILVUS_TEST_OPERATOR        the operator's binary
#   MILVUS_TEST_OPERATOR_IMAGE  the operator's image, known to every Swarm that swarm.sh starts
#   MILVUS_TEST_GATEWAY_IMAGE   the gateway's image, likewise
#   MILVUS_TEST_KUBECTL         every kubectl of this machine, separated by colons
#   MILVUS_TEST_KUBE_APISERVER  a real kube-apiserver; absent when it could not be built
# With the argument `kubernetes`, also what kubernetes/prepare.sh prints (five more minutes of building the first time).
# Other variables as for the scripts: TESTBED_STATE, TESTBED_NAME.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
ROOT=$(cd "$TESTBED_DIR/../.." && pwd)

timed packages "$TESTBED_DIR/packages.sh"
say "images of Milvus, etcd, MinIO and Pulsar"
timed images nice -n 5 "$TESTBED_DIR/images.sh" >&2
say "the operator and the gateway"
"$TESTBED_DIR/engine.sh" up
operator=$(timed 'static release build' "$ROOT/deploy/build.sh" milvus-operator)
images=$(DOCKER_HOST=unix://$ENGINE_SOCKET "$ROOT/deploy/image.sh")
operator_image=$(awk -F': ' '/^milvus-operator:/{print $1}' <<<"$images")
gateway_image=$(awk -F': ' '/^milvus-gateway:/{print $1}' <<<"$images")
[ -n "$operator_image" ] && [ -n "$gateway_image" ] || die "deploy/image.sh did not name the images it built: $images"
timed 'images for nodes' nice -n 5 "$TESTBED_DIR/swarm.sh" push "${IMAGES[@]}" "$operator_image" "$gateway_image" >&2
timed client "$TESTBED_DIR/client.sh" setup >&2
"$TESTBED_DIR/compiled.sh" keep

# One file a release; also those beside a kubectl that only chooses between them.
kubectls=$(IFS=:; for d in $PATH "$(dirname "$(realpath "$(command -v kubectl)")")"; do
  for f in "$d"/kubectl "$d"/kubectl[.-][0-9]* "$d"/kubectl[0-9]*; do if [ -x "$f" ]; then realpath "$f"; fi; done
done | sort -u | paste -sd:)
apiserver=
if [ -x "$TESTBED_DIR/kubernetes/build.sh" ]; then
  apiserver=$(timed 'kube-apiserver and etcd' "$TESTBED_DIR/kubernetes/build.sh" kube-apiserver etcd | head -1) || say "no kube-apiserver: answers are not compared with it"
fi
kubernetes=
case ${1:-} in
kubernetes) say "Kubernetes"; kubernetes=$(timed Kubernetes "$TESTBED_DIR/kubernetes/prepare.sh" "$operator_image") ;;
'') ;;
*) die "unknown argument '$1'" ;;
esac

export_line() { printf 'export %s=%q\n' "$1" "$2"; }
export_line TESTBED_STATE "$TESTBED_STATE"
export_line MILVUS_TEST_SWARM "$TESTBED_DIR/swarm.sh"
export_line MILVUS_TEST_CLIENT "$TESTBED_DIR/client.sh"
export_line MILVUS_TEST_OPERATOR "$operator"
export_line MILVUS_TEST_OPERATOR_IMAGE "$operator_image"
export_line MILVUS_TEST_GATEWAY_IMAGE "$gateway_image"
export_line MILVUS_TEST_KUBECTL "$kubectls"
[ -z "$apiserver" ] || export_line MILVUS_TEST_KUBE_APISERVER "$apiserver"
[ -z "$kubernetes" ] || echo "$kubernetes"
