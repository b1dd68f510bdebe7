#!/usr/bin/env bash
# A real Kubernetes cluster on one machine: etcd, kube-apiserver, controller-manager and scheduler as processes; nodes are
# fake (KWOK: pods bound to them become Ready at once, nothing runs), real (node.sh), or both.
#
#   cluster.sh up [FAKE [REAL]]         make a new cluster (default 2 0), removing any earlier one of this name
#   cluster.sh ensure [FAKE [REAL]]     the same, but keep a cluster of this shape whose nodes are all ready
#   cluster.sh down                     end all of it, delete its data
#   cluster.sh stop|kill|start P...     end parts orderly or with SIGKILL, start them again: etcd, kube-apiserver,
#   cluster.sh pause|resume P...        kube-controller-manager, kube-scheduler, kwok, coredns; pause: hang, connections stay.
#                                       After the API server's return the control plane and fake nodes go on at once; a real
#                                       node's kubelet may take a minute to look for new pods, as everywhere
#   cluster.sh external                 start an etcd and a MinIO beside the cluster, reached by pods and host, and print ETCD=...,
#                                       STORAGE=..., BUCKET=..., ACCESS_KEY=..., SECRET_KEY=...; parts external-etcd, external-minio
#   cluster.sh volumes [COUNT]          at least COUNT free PersistentVolumes (default 24); released ones are wiped and offered anew
#   cluster.sh kubeconfig admin                    print the path of a kubeconfig: of the administrator,
#   cluster.sh kubeconfig user:NAME[,GROUP]...     of a user with a client certificate,
#   cluster.sh kubeconfig sa:NAMESPACE/NAME        or of a ServiceAccount (a token of a day)
#   cluster.sh requests [--user U] [--since S]     answered requests: user, verb, resource, count (tab between); S in epoch seconds
#   cluster.sh env | url | status                  KUBECONFIG=..., address of the API, processes with memory and CPU
#
# Authorization is Node and RBAC, admission the default plus NodeRestriction and MutatingAdmissionPolicy. Every request is in the audit log
# (STATE/log/audit.log) but those of the administrator and of the cluster's own parts.
# Fake nodes have the label type=kwok and, beside real ones, the taint kwok.x-k8s.io/node=fake:NoSchedule. The default
# StorageClass `testbed` binds when a pod comes; its volumes are folders of this machine, reachable from every node. They
# ask for nothing: each offers 1 TiB, and holds what the disk holds.
#
# Environment: TESTBED_NAME (default tb), KUBE_NET (two octets, else free ones are taken), TESTBED_STATE, KUBE_EVICTION (seconds until
# the pods of a node that is away are deleted; default 300, as everywhere). A node counts as away after 20 s.
# Needs root, the packages of packages.sh, kubectl, and what build.sh builds. About 500 MB of memory.
set -euo pipefail
. "$(dirname "$0")/common.sh"
PARTS=(etcd kube-apiserver kube-controller-manager kube-scheduler coredns kwok external-etcd external-minio)
EXTERNAL_KEY=minioadmin # a key of this testbed alone

pick_net() { # a network that no interface and no route of this machine uses
  local start i candidate
  if [ -n "${KUBE_NET:-}" ]; then
    [[ $KUBE_NET =~ ^10\.[0-9]+$ ]] || die "KUBE_NET '$KUBE_NET' must be two octets, the first of them 10"
    echo "$KUBE_NET"; return
  fi
  start=$(($(cksum <<<"$NAME" | cut -d' ' -f1) % 50))
  for ((i = 0; i < 50; i++)); do
    candidate=10.$(((start + i) % 50 + 160))
    if ! { ip -4 addr show; ip -4 route show; } | grep -qE "(^| )${candidate//./\\.}\."; then echo "$candidate"; return; fi
  done
  die "no free network 10.160-10.209 found; set KUBE_NET"
}

certificate() { # certificate NAME SUBJECT [EXTENSIONS] : NAME.crt and NAME.key in the folder of keys
  local ext=${3:-extendedKeyUsage=clientAuth}
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
  printf '%s\n' "$ext" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 15)" -days 365 -extfile "$1.ext" -out "$1.crt"
  rm -f "$1.csr" "$1.ext"
}

config() { # config FILE USER-FIELDS : a kubeconfig that can be carried elsewhere
  (umask 077; cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: testbed
clusters: [{name: testbed, cluster: {server: "$(api_url)", certificate-authority-data: "$(base64 -w0 "$STATE/pki/ca.crt")"}}]
users: [{name: user, user: {$2}}]
contexts: [{name: testbed, context: {cluster: testbed, user: user}}]
YAML
  )
}
with_certificate() { # with_certificate FILE NAME
  config "$1" "client-certificate-data: $(base64 -w0 "$STATE/pki/$2.crt"), client-key-data: $(base64 -w0 "$STATE/pki/$2.key")"
}

keys() {
  local n
  mkdir -p "$STATE/pki"; chmod 700 "$STATE/pki"
  (
    cd "$STATE/pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 365 -subj /CN=testbed-ca
    certificate apiserver /CN=kube-apiserver "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$(host_address),IP:$(net).64.1"
    certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
    certificate admin /O=system:masters/CN=admin
    certificate kube-controller-manager /CN=system:kube-controller-manager
    certificate kube-scheduler /CN=system:kube-scheduler
    certificate kube-proxy /CN=system:kube-proxy
    certificate kwok /O=system:masters/CN=testbed:kwok
    certificate coredns /CN=testbed:coredns
    for n in 1 2 3 4 5 6 7 8 9; do certificate "node$n" "/O=system:nodes/CN=system:node:node$n"; done
    openssl genrsa -out sa.key 2048
    openssl rsa -in sa.key -pubout -out sa.pub
  ) >"$STATE/log/pki.log" 2>&1 || { cat "$STATE/log/pki.log" >&2; die "openssl failed"; }
  with_certificate "$STATE/admin.kubeconfig" admin
  for n in kube-controller-manager kube-scheduler kube-proxy kwok coredns node1 node2 node3 node4 node5 node6 node7 node8 node9; do
    with_certificate "$STATE/pki/$n.kubeconfig" "$n"
  done
}

launch() { # launch PART
  local at etcd api; known; at=$(loopback) etcd=http://$(loopback):2379 api=$(host_address)
  case $1 in
    etcd)
      spawn etcd "$(binary etcd)" --name testbed --data-dir "$STATE/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls "http://$at:2380" --initial-advertise-peer-urls "http://$at:2380" --initial-cluster "testbed=http://$at:2380" \
        --auto-compaction-retention 5m --log-level warn --unsafe-no-fsync ;;
    kube-apiserver)
      spawn kube-apiserver "$(binary kube-apiserver)" --etcd-servers "$etcd" --bind-address "$api" --advertise-address "$api" --secure-port 6443 \
        --endpoint-reconciler-type lease --service-cluster-ip-range "$(net).64.0/18" --authorization-mode Node,RBAC --anonymous-auth=true \
        --feature-gates MutatingAdmissionPolicy=true --runtime-config admissionregistration.k8s.io/v1beta1=true \
        --enable-admission-plugins NodeRestriction --allow-privileged --client-ca-file "$STATE/pki/ca.crt" \
        --tls-cert-file "$STATE/pki/apiserver.crt" --tls-private-key-file "$STATE/pki/apiserver.key" --cert-dir "$STATE/pki" \
        --kubelet-client-certificate "$STATE/pki/kubelet-client.crt" --kubelet-client-key "$STATE/pki/kubelet-client.key" \
        --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$STATE/pki/sa.pub" --service-account-signing-key-file "$STATE/pki/sa.key" \
        --default-not-ready-toleration-seconds "${KUBE_EVICTION:-300}" --default-unreachable-toleration-seconds "${KUBE_EVICTION:-300}" \
        --audit-policy-file "$STATE/audit.yaml" --audit-log-path "$STATE/log/audit.log" --audit-log-maxsize 4000 ;;
    # Its default of 20 requests a second would be the slowest part of every figure. It ends at once when an API server that has
    # just started does not let it look up how others are authenticated; nobody asks it anything here.
    kube-controller-manager)
      spawn kube-controller-manager "$(binary kube-controller-manager)" --kubeconfig "$STATE/pki/kube-controller-manager.kubeconfig" \
        --authentication-skip-lookup \
        --authentication-kubeconfig "$STATE/pki/kube-controller-manager.kubeconfig" --authorization-kubeconfig "$STATE/pki/kube-controller-manager.kubeconfig" \
        --service-account-private-key-file "$STATE/pki/sa.key" --root-ca-file "$STATE/pki/ca.crt" --leader-elect=false \
        --use-service-account-credentials --bind-address "$at" --allocate-node-cidrs=false --node-monitor-period 1s --node-monitor-grace-period 20s \
        --kube-api-qps 500 --kube-api-burst 1000 --concurrent-deployment-syncs 20 --concurrent-replicaset-syncs 20 \
        --concurrent-statefulset-syncs 20 --pvclaimbinder-sync-period 2s --horizontal-pod-autoscaler-sync-period 5s ;;
    kube-scheduler)
      spawn kube-scheduler "$(binary kube-scheduler)" --kubeconfig "$STATE/pki/kube-scheduler.kubeconfig" \
        --authentication-skip-lookup \
        --authentication-kubeconfig "$STATE/pki/kube-scheduler.kubeconfig" --authorization-kubeconfig "$STATE/pki/kube-scheduler.kubeconfig" \
        --leader-elect=false --bind-address "$at" --kube-api-qps 500 --kube-api-burst 1000 ;;
    kwok)
      if ! alive "$STATE/run/kwok.pid" "$STATE/"; then release_leases; fi
      spawn kwok "$(binary kwok)" --kubeconfig "$STATE/pki/kwok.kubeconfig" --config "$KUBERNETES/kwok-stages.yaml" \
        --manage-all-nodes=false --manage-nodes-with-label-selector type=kwok --cidr "$(net).128.1/17" --node-ip "$(host_address)" \
        --node-lease-duration-seconds 12 --server-address "$at:10247" ;;
    coredns)
      spawn coredns "$(binary coredns)" -conf "$STATE/Corefile" ;;
    external-etcd)
      spawn external-etcd "$(binary etcd)" --name external --data-dir "$STATE/external/etcd" --listen-client-urls "http://$api:12379" \
        --advertise-client-urls "http://$api:12379" --listen-peer-urls "http://$at:12380" --initial-advertise-peer-urls "http://$at:12380" \
        --initial-cluster "external=http://$at:12380" --log-level warn --unsafe-no-fsync ;;
    external-minio) # a folder of the only drive is a bucket
      mkdir -p "$STATE/external/minio/milvus"
      MINIO_ROOT_USER=$EXTERNAL_KEY MINIO_ROOT_PASSWORD=$EXTERNAL_KEY spawn external-minio "$(minio)" server --quiet --address "$api:9000" \
        --console-address "$at:9001" "$STATE/external/minio" ;;
    *) die "there is no part '$1'; parts are: ${PARTS[*]}" ;;
  esac
}

# The parts that this cluster has.
parts() {
  local fake real p; known; read -r fake real <"$STATE/shape"
  for p in "${PARTS[@]}"; do
    case $p in kwok) [ "$fake" -gt 0 ] || continue ;; coredns) [ "$real" -gt 0 ] || continue ;;
      external-*) [ -d "$STATE/external" ] || continue ;; esac
    echo "$p"
  done
}
each() { # each all|PART... : the parts meant
  known
  if [ "${1:-}" = all ]; then parts; return; fi
  [ $# -gt 0 ] || die "which part? One of: $(parts | paste -sd' '), all"
  local p
  for p in "$@"; do parts | grep -qxF -- "$p" || die "there is no part '$p'; parts are: $(parts | paste -sd' ')"; echo "$p"; done
}

ready() { k get --raw /readyz; }
wait_api() {
  until_ok 60 ready || { tail -n 5 "$STATE"/log/{etcd,kube-apiserver}.log >&2; die "the API server did not become ready; the end of its log is above"; }
}
signal() { # signal SIGNAL PART
  if ! alive "$STATE/run/$2.pid" "$STATE/"; then say "$2 does not run"; return; fi
  kill "-$1" "$(cat "$STATE/run/$2.pid")"
}
# After an outage of the API server the parts that talk to it wait longer and longer, up to half a minute, before they look again.
# The control plane's own parts end elsewhere when they cannot renew their leadership, and are started anew; so they are here.
# It also keeps a controller-manager from calling nodes lost that could not report. A real node's kubelet is left as it is.
start() {
  local p wanted again=()
  wanted=$(each "$@")
  if grep -qxE 'etcd|kube-apiserver' <<<"$wanted" && ! ready >/dev/null 2>&1; then
    for p in kube-controller-manager kube-scheduler kwok; do
      if alive "$STATE/run/$p.pid" "$STATE/"; then end "$STATE/run/$p.pid" "$STATE/" KILL; again+=("$p"); fi
    done
  fi
  for p in $(parts | grep -xF -e "$wanted" -e "$(printf '%s\n' "${again[@]}")"); do
    launch "$p"
    case $p in
    etcd) if alive "$STATE/run/kube-apiserver.pid" "$STATE/"; then wait_api; fi ;;
    kube-apiserver) wait_api ;; # one that was just spawned does not look alive yet
    esac
  done
}
# A KWOK would wait for the leases of the one before it.
# shellcheck disable=SC2046
release_leases() { k -n kube-node-lease delete lease --ignore-not-found $(k get nodes -l type=kwok -o jsonpath='{.items[*].metadata.name}') >/dev/null; }
stop() { # reverse order
  local p
  for p in $(each "$@" | tac); do signal CONT "$p" 2>/dev/null || true; end "$STATE/run/$p.pid" "$STATE/" "${SIGNAL:-TERM}"; done
}

audit_policy() {
  cat >"$STATE/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [admin, apiserver-kubelet-client, "system:apiserver", "system:anonymous", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "testbed:kwok", "testbed:coredns"]
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
- level: Metadata
YAML
}

# The cluster's DNS answers for the cluster, and says at once of everything else that it does not exist.
corefile() {
  cat >"$STATE/Corefile" <<CONF
cluster.local:53 in-addr.arpa:53 {
  bind $(host_address)
  errors
  health $(loopback):8080
  ready $(loopback):8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $STATE/pki/coredns.kubeconfig
    pods insecure
    ttl 5
  }
}
.:53 {
  bind $(host_address)
  template ANY ANY {
    rcode NXDOMAIN
  }
}
CONF
  k apply -f - >/dev/null <<'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: testbed-coredns}
rules:
- {apiGroups: [""], resources: [services, namespaces, pods], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: testbed-coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: testbed-coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "testbed:coredns"}]
YAML
}

minio() { # the binary that the image is made of
  local found; found=$(find "$TESTBED_STATE/work/bin" -name 'minio@*' 2>/dev/null | sort | tail -1)
  [ -n "$found" ] || die "there is no MinIO yet; see images.sh"
  echo "$found"
}
external() {
  known
  (minio) >/dev/null 2>&1 || "$TESTBED_DIR/images.sh" minio
  mkdir -p "$STATE/external"
  launch external-etcd; launch external-minio
  until_ok 30 curl -fs --noproxy '*' "http://$(host_address):12379/health" || die "the etcd did not start; see $STATE/log/external-etcd.log"
  until_ok 30 curl -fs --noproxy '*' "http://$(host_address):9000/minio/health/ready" || die "MinIO did not start; see $STATE/log/external-minio.log"
  printf 'ETCD=%s:12379\nSTORAGE=%s:9000\nBUCKET=milvus\nACCESS_KEY=%s\nSECRET_KEY=%s\n' "$(host_address)" "$(host_address)" "$EXTERNAL_KEY" "$EXTERNAL_KEY"
}

fake_nodes() { # fake_nodes COUNT TAINTED
  local i taints=
  [ "$1" -gt 0 ] || return 0
  if [ -n "$2" ]; then taints='taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]'; fi
  for ((i = 1; i <= $1; i++)); do
    cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: fake$i
  labels: {type: kwok, kubernetes.io/hostname: fake$i, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
spec: {$taints}
YAML
  done | k apply -f - >/dev/null
  launch kwok
}

nodes_ready() { # every node of the cluster's shape is there and ready
  local fake real; read -r fake real <"$STATE/shape"
  [ "$(k get nodes -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' 2>/dev/null | grep -cx True)" = $((fake + real)) ]
}

volumes() { # volumes COUNT
  local want=$1 free name n=0
  [ "$want" -ge 0 ] 2>/dev/null || die "how many volumes? '$want' is no number"
  k get storageclass testbed >/dev/null 2>&1 || k apply -f - >/dev/null <<'YAML'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: testbed, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
YAML
  # A volume whose claim is gone still names it, and would never be bound again.
  for name in $(k get pv -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}'; \
    k get pv -o jsonpath='{range .items[?(@.status.phase=="Failed")]}{.metadata.name}{"\n"}{end}'); do
    k delete pv "$name" --wait=true >/dev/null
    rm -rf --one-file-system "$STATE/volumes/$name"
  done
  free=$(k get pv -o jsonpath='{range .items[*]}{.status.phase}{"\n"}{end}' | grep -cx Available || true)
  while [ "$free" -lt "$want" ]; do
    n=$((n + 1)) name=volume-$n
    if [ -d "$STATE/volumes/$name" ]; then continue; fi
    mkdir -p "$STATE/volumes/$name"; chmod 777 "$STATE/volumes/$name" # for pods that are not root
    free=$((free + 1))
    cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 1Ti}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: testbed
  volumeMode: Filesystem
  local: {path: $STATE/volumes/$name}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]}}
YAML
  done >"$STATE/volumes.yaml"
  if [ -s "$STATE/volumes.yaml" ]; then k apply --server-side -f "$STATE/volumes.yaml" >/dev/null; fi
}

network_up() {
  ip link add "$BRIDGE" type bridge
  ip addr add "$(host_address)/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  # An engine on this machine may have set the policy DROP.
  iptables -w -I FORWARD -i "$BRIDGE" -o "$BRIDGE" -j ACCEPT 2>/dev/null || true
}

up() { # up FAKE REAL
  local fake=${1:-2} real=${2:-0} n
  [[ $fake =~ ^[0-9]{1,3}$ && $real =~ ^[0-9]$ ]] || die "how many fake (0-999) and real (0-9) nodes?"
  [ "$(id -u)" = 0 ] || die "needs root"
  binaries=(etcd kube-apiserver kube-controller-manager kube-scheduler)
  [ "$fake" = 0 ] || binaries+=(kwok)
  [ "$real" = 0 ] || binaries+=(kubelet kube-proxy coredns)
  "$KUBERNETES/build.sh" "${binaries[@]}" >/dev/null
  down
  mkdir -p "$STATE"/{log,run,kubeconfigs}; chmod 700 "$STATE"
  echo "$fake $real" >"$STATE/shape"
  n=$(pick_net); echo "$n" >"$STATE/net"
  network_up
  launch etcd
  keys
  audit_policy
  launch kube-apiserver
  wait_api
  launch kube-controller-manager
  launch kube-scheduler
  fake_nodes "$fake" "$([ "$real" = 0 ] || echo tainted)"
  if [ "$real" -gt 0 ]; then
    corefile; launch coredns
    # shellcheck disable=SC2046
    "$KUBERNETES/node.sh" start $(seq "$real")
    until_ok 30 curl -fs --noproxy '*' "http://$(loopback):8181/ready" || die "the cluster's DNS did not become ready; see $STATE/log/coredns.log"
  fi
  volumes 24
  until_ok 60 nodes_ready || die "the nodes did not all become ready: $(k get nodes 2>&1)"
  until_ok 30 k get serviceaccount default || die "the controller-manager made no ServiceAccount; see $STATE/log"
}

healthy() { ready >/dev/null 2>&1 && nodes_ready && [ -z "$(for p in $(parts); do alive "$STATE/run/$p.pid" "$STATE/" || echo "$p"; done)" ]; }
ensure() {
  if [ -f "$STATE/shape" ] && [ "$(cat "$STATE/shape")" = "${1:-2} ${2:-0}" ] && healthy; then volumes 24; return; fi
  up "$@"
}

down() {
  local pids i
  if [ -x "$KUBERNETES/node.sh" ]; then "$KUBERNETES/node.sh" down; fi
  for ((i = 0; i < 100; i++)); do
    pids=$(ours)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    sleep 0.05
  done
  ip link del "$BRIDGE" 2>/dev/null || true
  while iptables -w -D FORWARD -i "$BRIDGE" -o "$BRIDGE" -j ACCEPT 2>/dev/null; do :; done
  rm -rf --one-file-system "$STATE"
}

kubeconfig() {
  local spec=${1:-admin} file name group subject=
  known
  file=$STATE/kubeconfigs/$(tr -c 'a-zA-Z0-9.\n-' _ <<<"$spec")
  case $spec in
    admin) echo "$STATE/admin.kubeconfig"; return ;;
    user:*)
      spec=${spec#user:} name=${spec%%,*}
      while [[ $spec == *,* ]]; do spec=${spec#*,} group=${spec%%,*}; subject+=/O=$group; done
      mkdir -p "$STATE/pki/users"
      (cd "$STATE/pki"; certificate "users/user" "$subject/CN=$name") >>"$STATE/log/pki.log" 2>&1 || die "openssl made no certificate for '$name'; see $STATE/log/pki.log"
      with_certificate "$file" users/user ;;
    sa:*/*)
      spec=${spec#sa:}
      config "$file" "token: \"$(k -n "${spec%%/*}" create token "${spec#*/}" --duration 24h)\"" ;;
    *) die "whose kubeconfig? admin, user:NAME[,GROUP]... or sa:NAMESPACE/NAME" ;;
  esac
  echo "$file"
}

status() {
  local p pid
  for p in $(parts); do
    if alive "$STATE/run/$p.pid" "$STATE/"; then
      pid=$(cat "$STATE/run/$p.pid")
      printf '%-26s pid %-8s %5d MiB %8.1f s of CPU\n' "$p" "$pid" "$(awk '/^VmRSS/{print int($2 / 1024)}' "/proc/$pid/status")" \
        "$(awk -v t="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / t}' "/proc/$pid/stat")"
    else echo "$p does not run"; fi
  done
  if [ -x "$KUBERNETES/node.sh" ]; then "$KUBERNETES/node.sh" status; fi
}

case ${1:-} in
up) locked "cluster-$NAME" up "${@:2}" ;;
ensure) locked "cluster-$NAME" ensure "${@:2}" ;;
down) locked "cluster-$NAME" down; rm -f "$TESTBED_STATE/.lock-cluster-$NAME" ;;
stop) stop "${@:2}" ;;
kill) SIGNAL=KILL stop "${@:2}" ;;
start) start "${@:2}" ;;
pause) for p in $(each "${@:2}"); do signal STOP "$p"; done ;;
resume) for p in $(each "${@:2}"); do signal CONT "$p"; done ;;
external) external ;;
volumes) known; locked "cluster-$NAME" volumes "${2:-24}" ;;
kubeconfig) kubeconfig "${@:2}" ;;
requests) known; touch "$STATE/log/audit.log"; python3 "$KUBERNETES/audit.py" "$STATE/log/audit.log" "${@:2}" ;;
env) known; echo "KUBECONFIG=$STATE/admin.kubeconfig" ;;
url) known; api_url ;;
status) known; status ;;
*) sed -n '2,36p' "$0"; exit 2 ;;
esac
