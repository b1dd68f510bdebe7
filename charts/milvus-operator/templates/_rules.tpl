{{/* Written from operator/kubernetes/src/rbac.rs (UPDATE_MANIFESTS=1 cargo test -p milvus-kubernetes --test rights). */}}

{{- define "milvus-operator.rules.watched" }}
# Identity of the pods of Milvus.
- apiGroups: [""]
  resources: ["serviceaccounts"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Configuration files; and the ledger of each cluster, which is replaced (update).
- apiGroups: [""]
  resources: ["configmaps"]
  verbs: ["get", "list", "watch", "create", "patch", "delete", "update"]
# Files with credentials; the Secrets that a MilvusCluster names, and the one that is made where it names none.
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# The client Service, and the names of members.
- apiGroups: [""]
  resources: ["services"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Roles of Milvus.
- apiGroups: ["apps"]
  resources: ["deployments"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Members of etcd, MinIO, ZooKeeper, BookKeeper and brokers.
- apiGroups: ["apps"]
  resources: ["statefulsets"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Pulsar's metadata, set up once.
- apiGroups: ["batch"]
  resources: ["jobs"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# One member of a quorum at a time.
- apiGroups: ["policy"]
  resources: ["poddisruptionbudgets"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Where a MilvusCluster asks for one.
- apiGroups: ["networking.k8s.io"]
  resources: ["ingresses"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Metrics, where the Prometheus operator is installed; the rule stands for nothing where it is not.
- apiGroups: ["monitoring.coreos.com"]
  resources: ["podmonitors"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
# Which processes run, and what keeps others from it.
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
# Data of a deleted cluster, under deletionPolicy Delete, the labels are looked at first; and data that no ledger names, which is never opened without being asked for (list).
- apiGroups: [""]
  resources: ["persistentvolumeclaims"]
  verbs: ["get", "list", "delete"]
# The story of each MilvusCluster.
- apiGroups: [""]
  resources: ["events"]
  verbs: ["create"]
# The resources; of them, the finalizer alone is written.
- apiGroups: ["operator.milvus.io"]
  resources: ["milvusclusters"]
  verbs: ["list", "watch", "patch"]
# What came of them.
- apiGroups: ["operator.milvus.io"]
  resources: ["milvusclusters/status"]
  verbs: ["patch"]
# Owner references that block deletion; asked for by the admission plugin OwnerReferencesPermissionEnforcement.
- apiGroups: ["operator.milvus.io"]
  resources: ["milvusclusters/finalizers"]
  verbs: ["update"]
{{- end }}

{{- define "milvus-operator.rules.lease" }}
# The first operator makes the Lease; a name cannot be given here.
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: ["create"]
# Only the holder of the Lease works; no other Lease is touched.
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  resourceNames: ["{{ include "milvus-operator.fullname" . }}"]
  verbs: ["get", "update"]
{{- end }}
