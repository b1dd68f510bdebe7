#!/usr/bin/env bash
# A real etcd and kube-apiserver on loopback: what our own API server is compared with.
# Usage: control-plane.sh up DIR [PORT]     starts both in DIR and prints the kubeconfig of its administrator
#        control-plane.sh down DIR          ends both; DIR stays
#        control-plane.sh status DIR        processes and their memory
# PORT (default 16443) is the API's, etcd takes the two after it. Data is for one run: etcd does not sync to disk.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
[ $# -ge 2 ] || die "usage: control-plane.sh up|down|status DIR [PORT]"
verb=$1 dir=$2 port=${3:-16443}

keys() {
  [ ! -f "$dir/pki/tokens.csv" ] || return 0
  command -v openssl >/dev/null || die "openssl is needed to make certificates; please install it"
  mkdir -p "$dir/pki"; chmod 700 "$dir"
  (
    cd "$dir/pki"
    ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${ec[@]}" -keyout ca.key -out ca.crt -days 30 -subj /CN=testbed-ca
    openssl req "${ec[@]}" -keyout api.key -out api.csr -subj /CN=kube-apiserver
    printf 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1\n' >api.ext
    openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile api.ext -out api.crt
    openssl genrsa -out sa.key 2048
    openssl rsa -in sa.key -pubout -out sa.pub
  ) >"$dir/pki.log" 2>&1 || { cat "$dir/pki.log" >&2; die "openssl failed"; }
  local token
  token=$(head -c 18 /dev/urandom | base64 | tr -dc a-zA-Z0-9)
  cat >"$dir/admin.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: testbed
clusters: [{name: testbed, cluster: {server: "https://127.0.0.1:$port", certificate-authority: "$dir/pki/ca.crt"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: testbed, context: {cluster: testbed, user: admin}}]
YAML
  chmod 600 "$dir/admin.kubeconfig"
  printf '%s,admin,admin,system:masters\n' "$token" >"$dir/pki/tokens.csv"
}

spawn() { # spawn NAME COMMAND...
  local name=$1; shift
  if alive "$dir/$name.pid" "$dir"; then return; fi
  nohup nice -n 2 "$@" >"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

up() {
  local binaries etcd apiserver i
  binaries=$("$TESTBED_DIR/kubernetes/build.sh" etcd kube-apiserver)
  { read -r etcd; read -r apiserver; } <<<"$binaries"
  keys
  local client=http://127.0.0.1:$((port + 1)) peer=http://127.0.0.1:$((port + 2))
  spawn etcd "$etcd" --name t --data-dir "$dir/etcd" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "t=$peer" --unsafe-no-fsync
  spawn kube-apiserver "$apiserver" --etcd-servers="$client" --secure-port="$port" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 \
    --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=RBAC --token-auth-file="$dir/pki/tokens.csv" \
    --disable-admission-plugins=ServiceAccount --cert-dir="$dir/pki" --tls-cert-file="$dir/pki/api.crt" --tls-private-key-file="$dir/pki/api.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/sa.pub" \
    --service-account-signing-key-file="$dir/pki/sa.key"
  for ((i = 0; i < 240; i++)); do
    if curl -fsS --max-time 5 --cacert "$dir/pki/ca.crt" "https://127.0.0.1:$port/readyz" >/dev/null 2>&1; then
      echo "$dir/admin.kubeconfig"; return
    fi
    alive "$dir/kube-apiserver.pid" "$dir" || break
    sleep 0.25
  done
  tail -n 5 "$dir/etcd.log" "$dir/kube-apiserver.log" >&2
  down
  die "the control plane did not become ready; the end of its logs is above"
}

down() { end "$dir/kube-apiserver.pid" "$dir"; end "$dir/etcd.pid" "$dir"; }

status() {
  local name pid
  for name in etcd kube-apiserver; do
    if alive "$dir/$name.pid" "$dir"; then
      pid=$(cat "$dir/$name.pid")
      awk -v n=$name -v p="$pid" '/^VmRSS/{printf "%s pid %s, %d MiB\n", n, p, $2 / 1024}' "/proc/$pid/status"
    else
      echo "$name is not running"
    fi
  done
}

case $verb in up | down | status) "$verb" ;; *) die "unknown verb $verb" ;; esac
