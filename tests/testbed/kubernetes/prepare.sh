#!/usr/bin/env bash
# Makes everything that the tests on Kubernetes use and prints, as shell exports, where it is. prepare.sh one folder up calls it;
# second runs find it all there and take a second.
# Usage: prepare.sh [IMAGE...]      further images of the local engine that real nodes shall have, such as the operator's
#   MILVUS_TEST_KUBERNETES       cluster.sh: clusters with fake and real nodes whose parts can be taken away
#   MILVUS_TEST_KUBERNETES_NODE  node.sh: real nodes that can be killed, cut and healed; images for them
#   MILVUS_TEST_HELM             a real helm
# Conventions: a cluster is named by TESTBED_NAME and lives until `cluster.sh down`; `cluster.sh env` has its KUBECONFIG.
# Fake nodes have the label type=kwok, real ones type=real; where there are both, pods without a toleration of the taint
# kwok.x-k8s.io/node run on real ones. The default StorageClass is `testbed`, with 24 volumes to begin with.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
here=$TESTBED_DIR/kubernetes
"$here/build.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kwok coredns helm >/dev/null
nice -n 5 "$here/node.sh" push "${IMAGES[@]}" "$@" >&2
export_line() { printf 'export %s=%q\n' "$1" "$2"; }
export_line MILVUS_TEST_KUBERNETES "$here/cluster.sh"
export_line MILVUS_TEST_KUBERNETES_NODE "$here/node.sh"
export_line MILVUS_TEST_HELM "$("$here/build.sh" helm)"
