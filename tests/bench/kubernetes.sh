#!/usr/bin/env bash
# Speed and cost of an operator on Kubernetes: real etcd, API server, controller-manager and scheduler, fake nodes whose pods are
# ready at once, a real etcd and MinIO as dependencies. About 15 minutes; see kubernetes.py for what is measured and how.
#   kubernetes.sh [ARGUMENTS of kubernetes.py]
# Environment: TESTBED_NAME; MILVUS_TEST_OPERATOR, else it is built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export TESTBED_NAME=${TESTBED_NAME:-kbench}
"$here/../testbed/packages.sh"
export MILVUS_TEST_OPERATOR=${MILVUS_TEST_OPERATOR:-$("$here/../../deploy/build.sh" milvus-operator)}
# Here, without a limit on the time: the benchmark's own commands have one.
"$here/../testbed/kubernetes/build.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kwok coredns >&2
"$here/../testbed/images.sh" minio
trap '"$here/../testbed/kubernetes/cluster.sh" down' EXIT
trap 'exit 130' INT TERM
python3 "$here/kubernetes.py" "$@"
