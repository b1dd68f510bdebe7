#!/usr/bin/env bash
# Real nodes of a Kubernetes cluster (cluster.sh): each its own containerd, kubelet and kube-proxy in its own network, PID, mount
# and UTS namespace and cgroup, joined by the cluster's bridge. When the first process of a node is killed, all of it is gone:
# processes, mounts, interfaces, firewall rules. Pods, Services and DNS names work from pods; pods and Services also from the host.
#
#   node.sh start N...           boot node N (1-9): a new one, or one that was killed, with its disk
#   node.sh kill N...            power loss
#   node.sh cut N | heal N       cut a node off the network (its containers go on) / undo
#   node.sh push [IMAGE...]      offer images of the local engine (engine.sh) to all nodes started from now on, and
#                                to this cluster's running ones; default: those of lib.sh
#   node.sh exec N COMMAND...    run a command in the namespaces of node N
#   node.sh ctr N ARGUMENTS...   containerd's client on node N, in the namespace of Kubernetes
#   node.sh down                 kill all nodes of this cluster; status: their processes
#
# Environment: as for cluster.sh. Nodes reach nothing but the bridge: an image that they do not have fails at once. Images
# are unpacked once, into TESTBED_STATE/kube/images; nodes get them as hard links. About 200 MB of memory a node, and its pods.
set -euo pipefail
. "$(dirname "$0")/common.sh"
SEED=$TESTBED_STATE/kube/images

netns() { echo "$BRIDGE-$1"; }
address() { echo "$(net).0.$1"; }
pods() { echo "$(net).$((16 + $1)).0/24"; }
node() { echo "$STATE/node$1"; }
numbers() { # the node numbers meant, checked
  local n
  [ $# -gt 0 ] || die "which node?"
  for n in "$@"; do [[ $n =~ ^[1-9]$ ]] || die "node '$n' must be a number from 1 to 9"; echo "$n"; done
}
running() { [ -e "/run/netns/$(netns "$1")" ] && [ -n "$(ip netns pids "$(netns "$1")" 2>/dev/null)" ]; }
client() { ctr --address "$1/containerd.sock" --namespace k8s.io "${@:2}"; }

# ---- images

image_id() { local_engine image inspect -f '{{.Id}}' "$1" 2>/dev/null; }

containerd_config() { # containerd_config ROOT STATE SOCKET
  local snapshotter=overlayfs; if [ "$(stat -f -c %T "$(dirname "$1")")" = overlayfs ]; then snapshotter=native; fi
  cat <<TOML
version = 2
root = "$1"
state = "$2"
oom_score = 0
[grpc]
  address = "$3"
[debug]
  level = "warn"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/$IMAGE_PAUSE"
  # Root may lack CAP_SYS_RESOURCE, and then cannot lower the score of a container.
  restrict_oom_score_adj = true
  max_concurrent_downloads = 1
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$(dirname "$1")/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
TOML
}

import() { # import FOLDER IMAGE... : from the local engine into a running containerd, whose list is in FOLDER/list
  local dir=$1 image; shift
  local_engine save "$@" | client "$dir" images import --digests=false - >"$dir/import.log" 2>&1 || { tail -3 "$dir/import.log" >&2; die "could not import $*"; }
  for image in "$@"; do
    { grep -vF "$image " "$dir/list" 2>/dev/null || true; echo "$image $(image_id "$image")"; } >"$dir/list.new"
    mv "$dir/list.new" "$dir/list"
  done
}

copy_images() { # copy_images FROM TO : layers and blobs are never written again, so links do; databases are
  mkdir -p "$2"
  cp -al "$1"/. "$2"/
  find "$2" -name '*.db' -type f -print0 | while IFS= read -r -d '' db; do cp -p "$db" "$db.new"; mv "$db.new" "$db"; done
}

missing_in() { # missing_in LIST IMAGE... : those that the list has not, or has in another version
  local image id list=$1; shift
  for image in "$@"; do
    id=$(image_id "$image") || die "the local engine has no image $image; see images.sh"
    grep -qxF "$image $id" "$list" 2>/dev/null || echo "$image"
  done
}

seed() { # seed IMAGE... : the images that nodes start with
  local new=$SEED.new pending pid i
  mapfile -t pending < <(missing_in "$SEED/list" "$@")
  [ ${#pending[@]} -gt 0 ] || return 0
  if [ -f "$new/pid" ]; then end "$new/pid" "$new/"; fi
  rm -rf --one-file-system "$new"; mkdir -p "$new"
  if [ -d "$SEED/root" ]; then copy_images "$SEED/root" "$new/root"; cp "$SEED/list" "$new/list"; fi
  containerd_config "$new/root" "$new/state" "$new/containerd.sock" >"$new/config.toml"
  # In a mount namespace of its own: nothing stays mounted, however this ends.
  TMPDIR=$new setsid unshare --mount --propagation private containerd --config "$new/config.toml" >"$new/log" 2>&1 </dev/null 9>&- &
  pid=$!; echo "$pid" >"$new/pid"
  until_ok 20 client "$new" version || { tail -3 "$new/log" >&2; die "containerd did not start; see $new/log"; }
  import "$new" "${pending[@]}"
  end "$new/pid" "$new/"
  rm -rf --one-file-system "$new"/{state,config.toml,containerd.sock,containerd.sock.ttrpc,log,import.log}
  rm -rf --one-file-system "$SEED"; mv "$new" "$SEED"
  say "nodes started from now on have ${pending[*]}"
}

push() {
  local n pending
  [ $# -gt 0 ] || set -- "${IMAGES[@]}"
  "$TESTBED_DIR/engine.sh" up
  if ! image_id "$IMAGE_PAUSE" >/dev/null; then "$TESTBED_DIR/images.sh" pause; fi
  seed "$IMAGE_PAUSE" "$@"
  for n in $(real_nodes); do
    if ! running "$n"; then continue; fi
    mapfile -t pending < <(missing_in "$(node "$n")/list" "$@")
    if [ ${#pending[@]} -gt 0 ]; then import "$(node "$n")" "${pending[@]}"; fi
  done
}

# ---- nodes

cgroups() { local d; for d in /sys/fs/cgroup/*/"$(netns "$1")" /sys/fs/cgroup/"$(netns "$1")"; do if [ -d "$d" ]; then echo "$d"; fi; done; }

make_cgroups() { # in every hierarchy, so that the kubelet finds its root there
  local h v
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    for v in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$v" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true; done
    mkdir -p "/sys/fs/cgroup/$(netns "$1")"
    for v in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$v" >"/sys/fs/cgroup/$(netns "$1")/cgroup.subtree_control" 2>/dev/null || true; done
    return
  fi
  for h in /sys/fs/cgroup/*/; do
    [ -f "$h/cgroup.procs" ] || continue
    mkdir -p "$h$(netns "$1")"
    # A new group of this hierarchy has no processors and takes no process.
    for v in cpuset.cpus cpuset.mems; do if [ -f "$h$v" ]; then cat "$h$v" >"$h$(netns "$1")/$v"; fi; done
  done
}

kill_node() {
  local pids i cg
  for ((i = 0; i < 200; i++)); do
    # The containers' processes are in the node's PID namespace and end with its first process.
    pids=$({ ip netns pids "$(netns "$1")" 2>/dev/null || true; for cg in $(cgroups "$1"); do find "$cg" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done; } | sort -u)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    sleep 0.05
  done
  ip netns del "$(netns "$1")" 2>/dev/null || true
  ip link del "$BRIDGE-$1" 2>/dev/null || true
  for cg in $(cgroups "$1"); do find "$cg" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
}

kubelet_config() { # kubelet_config N
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(address "$1")
containerRuntimeEndpoint: unix://$(node "$1")/containerd.sock
podLogsDir: $(node "$1")/pod-logs
cgroupDriver: cgroupfs
cgroupRoot: /$(netns "$1")
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: ["$(host_address)"]
clusterDomain: cluster.local
resolvConf: $(node "$1")/resolv.conf
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
nodeLeaseDurationSeconds: 12
nodeStatusUpdateFrequency: 5s
eventRecordQPS: 0
maxPods: 200
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
YAML
}

# Every pod has a link of its own to the node and no bridge, so that packets to a Service are always routed.
cni_config() { # cni_config N
  cat <<JSON
{"cniVersion": "0.4.0", "name": "testbed", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses",
    "ranges": [[{"subnet": "$(pods "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

connect() { # connect N : namespace, link, routes of both sides
  local ns m; ns=$(netns "$1")
  ip netns add "$ns"
  ip link add "$BRIDGE-$1" type veth peer name eth0 netns "$ns"
  ip link set "$BRIDGE-$1" master "$BRIDGE" up
  ip -n "$ns" addr add "$(address "$1")/24" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$ns" link set lo up
  # No default route: what is not of the cluster is unreachable at once instead of after a time-out.
  ip -n "$ns" route add "$(net).64.0/18" via "$(host_address)" # only so that packets to a Service have a way, until kube-proxy turns them
  for m in 1 2 3 4 5 6 7 8 9; do [ "$m" = "$1" ] || ip -n "$ns" route add "$(pods "$m")" via "$(address "$m")"; done
  ip route replace "$(pods "$1")" via "$(address "$1")" dev "$BRIDGE"
  ip route replace "$(net).64.0/18" via "$(address 1)" dev "$BRIDGE"
}

start_node() {
  local n=$1 dir i; dir=$(node "$1")
  if running "$n"; then return; fi
  kill_node "$n" # nothing of a killed node may be left, its old interfaces neither
  if [ ! -d "$dir/root" ]; then
    mkdir -p "$dir"
    copy_images "$SEED/root" "$dir/root.new"
    cp "$SEED/list" "$dir/list"
    mv "$dir/root.new" "$dir/root"
  fi
  mkdir -p "$dir"/{cni,kubelet,pod-logs,tmp}
  rm -f "$dir"/containerd.sock*
  containerd_config "$dir/root" /run/containerd "$dir/containerd.sock" >"$dir/containerd.toml"
  kubelet_config "$n" >"$dir/kubelet.yaml"
  cni_config "$n" >"$dir/cni/10-testbed.conflist"
  printf 'nameserver %s\noptions timeout:1 attempts:1\n' "$(host_address)" >"$dir/resolv.conf"
  make_cgroups "$n"
  connect "$n"
  # nsenter, not `ip netns exec`: the latter remounts /sys and hides the cgroup hierarchies.
  TMPDIR=$dir/tmp setsid nsenter --net="/run/netns/$(netns "$n")" unshare --uts --mount --pid --fork --kill-child=KILL --mount-proc --propagation private \
    "$KUBERNETES/node_init.sh" "$dir" "$n" "$(net)" "$(binary kubelet)" "$(binary kube-proxy)" "$STATE/pki/node$n.kubeconfig" "$STATE/pki/kube-proxy.kubeconfig" \
    >>"$dir/init.log" 2>&1 </dev/null 9>&- &
}

start() {
  local n list
  known
  [ "$(id -u)" = 0 ] || die "needs root"
  case $STATE/ in /var/lib/* | /var/log/* | /run/*) die "TESTBED_STATE cannot be below /var/lib, /var/log or /run: a node has its own" ;; esac
  list=$(numbers "$@")
  if [ ! -f "$SEED/list" ]; then locked kube-images push; fi
  for n in $list; do locked kube-images start_node "$n"; done
  for n in $list; do
    until_ok 60 node_ready "$n" || { tail -n 3 "$(node "$n")"/*.log >&2; die "node $n did not become ready; its logs are in $(node "$n")"; }
  done
}
# A condition from before a power loss says nothing: the kubelet has reported since its start.
node_ready() {
  [ "$(k get node "node$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ] &&
    curl -fsk --noproxy '*' --max-time 2 --cert "$STATE/pki/kubelet-client.crt" --key "$STATE/pki/kubelet-client.key" "https://$(address "$1"):10250/healthz"
}

down() {
  local n
  for n in 1 2 3 4 5 6 7 8 9; do
    if [ -e "/run/netns/$(netns "$n")" ] || [ -n "$(cgroups "$n")" ] || [ -e "/sys/class/net/$BRIDGE-$n" ]; then kill_node "$n"; fi
  done
}

status() {
  local n pid
  for n in $(real_nodes); do
    if ! running "$n"; then echo "node$n does not run"; continue; fi
    for pid in $(ip netns pids "$(netns "$n")"); do
      printf '%-26s pid %-8s %5d MiB\n' "node$n $(cat "/proc/$pid/comm")" "$pid" "$(awk '/^VmRSS/{print int($2 / 1024)}' "/proc/$pid/status")"
    done
  done
}

inside() { # inside N COMMAND... : all namespaces of the node's first process
  local pid; pid=$(ip netns pids "$(netns "$1")" | while read -r p; do if [ "$(awk '/^NSpid/{print NF == 3 && $NF == 1}' "/proc/$p/status")" = 1 ]; then echo "$p"; fi; done)
  [ -n "$pid" ] || die "node $1 does not run"
  nsenter --target "$pid" --net --uts --mount --pid "${@:2}"
}

case ${1:-} in
start) start "${@:2}" ;;
kill) for n in $(numbers "${@:2}"); do kill_node "$n" & done; wait ;;
cut) known; for n in $(numbers "${2:-}"); do ip link set "$BRIDGE-$n" down; done ;;
heal) known; for n in $(numbers "${2:-}"); do ip link set "$BRIDGE-$n" up; done ;;
push) locked kube-images push "${@:2}" ;;
exec) known; inside "$(numbers "${2:-}")" "${@:3}" ;;
ctr) known; client "$(node "$(numbers "${2:-}")")" "${@:3}" ;;
down) down ;;
status) known; status ;;
*) sed -n '2,18p' "$0"; exit 2 ;;
esac
