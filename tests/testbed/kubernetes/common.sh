# Shared by the scripts of a Kubernetes testbed: names, addresses, processes. Sourced after setting nothing; never run.
#
# A cluster is told apart by TESTBED_NAME alone: the name chooses a free network 10.K.0.0/16, and K is in every address, so
# that all ports are the usual ones and clusters stand side by side.
#   10.K.0.254      the bridge: API server (6443), cluster DNS (53)       10.K.16+n.0/24  pods of the real node n (1-9)
#   10.K.0.n        the real node n (1-9)                                 10.K.64.0/18    Services; .64.1 is the API
#   127.K.0.1       etcd, controller-manager, scheduler, KWOK             10.K.128.0/17   pods of fake nodes
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
NAME=${TESTBED_NAME:-tb}
[[ $NAME =~ ^[a-z0-9]{1,8}$ ]] || die "TESTBED_NAME '$NAME' must be 1 to 8 lower-case letters and digits"
KUBERNETES=$TESTBED_DIR/kubernetes
STATE=$TESTBED_STATE/clusters/$NAME
BRIDGE=mtk-$NAME

known() { [ -f "$STATE/net" ] || die "no cluster named '$NAME' is up"; }
net() { cat "$STATE/net"; }                    # 10.K
host_address() { echo "$(net).0.254"; }
loopback() { echo "127.$(net | cut -d. -f2).0.1"; }
api_url() { echo "https://$(host_address):6443"; }
binary() { "$KUBERNETES/build.sh" "$1"; }
real_nodes() { local d; for d in "$STATE"/node[1-9]; do if [ -d "$d" ]; then echo "${d##*node}"; fi; done; }

# The clients here never go through a proxy of the machine's environment.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
unset KUBECONFIG
k() { kubectl --kubeconfig "$STATE/admin.kubeconfig" --request-timeout=20s "$@"; }

until_ok() { # until_ok SECONDS COMMAND... : polls; fails when the time is over
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt "$deadline" ] || return 1; sleep 0.1; done
}

# Every process of this cluster that runs one of our binaries, also one whose pid nobody noted: a script may be killed
# between the start and the note.
ours() {
  local exe pid
  # Processes come and go while find looks: its own verdict is none.
  { find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' \( -lname "$TESTBED_STATE/kube/*" -o -lname "$TESTBED_STATE/work/bin/*" \) 2>/dev/null || true; } | while read -r exe; do
    pid=${exe#/proc/} pid=${pid%/exe}
    if { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$STATE/"; then echo "$pid"; fi
  done
}

spawn() { # spawn NAME COMMAND... : a daemon with a log and a pid file
  local name=$1; shift
  mkdir -p "$STATE/log" "$STATE/run"
  if alive "$STATE/run/$name.pid" "$STATE/"; then return; fi
  setsid nice -n 2 "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/run/$name.pid"
}
