#!/usr/bin/env bash
# Checks the Kubernetes testbed itself, on fake nodes and on a real one with real images: pods, Services by name, volumes,
# the API from inside and its requests counted, outages of the API server and of the node, and that nothing is left behind, also
# when a script is killed. Takes about four minutes; prints what it measured.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export TESTBED_NAME=${TESTBED_NAME:-check}
NAME=$TESTBED_NAME STATE=$TESTBED_STATE/clusters/$NAME BRIDGE=mtk-$NAME
cluster=$KUBERNETES/cluster.sh node=$KUBERNETES/node.sh
trap 'echo "check.sh failed in line $LINENO: $BASH_COMMAND" >&2' ERR
trap 'code=$?; "$cluster" down; exit $code' EXIT
since() { t0=$(date +%s%N); }
measured() { local ms=$((($(date +%s%N) - t0) / 1000000)); printf '%-60s %4d.%d s\n' "$1" $((ms / 1000)) $((ms % 1000 / 100)); }
expect() { # expect SECONDS WHAT COMMAND... : fails the check when it is not so in time
  local limit=$1 what=$2; shift 2
  until_ok "$limit" "$@" || { echo "not so within $limit s: $what" >&2; k get pods -A -o wide >&2; k get events -A >&2 | tail -20; exit 1; }
}
is() { [ "$(k get "$1" -o "jsonpath=$2" 2>/dev/null)" = "$3" ]; } # is KIND/NAME PATH VALUE
in_pod() { k exec web-client -- "$@"; }
left_over() {
  local found
  found=$({ ip -o link; ip route; ip netns list; } | grep -F "$BRIDGE" || true
    iptables -w -S 2>/dev/null | grep -F "$BRIDGE" || true
    grep -F "$STATE" /proc/mounts || true
    find /sys/fs/cgroup -maxdepth 2 -name "$BRIDGE-*"
    find "$TESTBED_STATE/clusters" -maxdepth 1 -name "$NAME"
    ours
    find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$STATE/*" 2>/dev/null || true
    ps axww -o pid,args | grep -F "$STATE/" | grep -vF grep || true)
  [ -z "$found" ] || { echo "left over:"; echo "$found"; return 1; }
}

"$cluster" down
"$node" push
since; "$cluster" up 2 1; measured "2 fake nodes and a real one ready after"

since
k apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: minio}
spec: {selector: {app: minio}, ports: [{port: 80, targetPort: 9000}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: minio}
spec:
  serviceName: minio
  selector: {matchLabels: {app: minio}}
  template:
    metadata: {labels: {app: minio}}
    spec:
      terminationGracePeriodSeconds: 2
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000}
      containers:
      - name: minio
        image: $IMAGE_MINIO
        args: [server, /data]
        readinessProbe: {httpGet: {path: /minio/health/ready, port: 9000}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "$IMAGE_ETCD", command: [python3, -m, http.server, "8000"], readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-client}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: client, image: "$IMAGE_ETCD", command: [sleep, infinity]}]
YAML
expect 60 "both pods of the Deployment are ready" is deploy/web '{.status.availableReplicas}' 2; measured "Deployment of two real pods ready after"
expect 60 "MinIO is ready on its volume" is sts/minio '{.status.readyReplicas}' 1; measured "StatefulSet with a volume, not root, ready after"
expect 20 "the client runs" is pod/web-client '{.status.phase}' Running
is pvc/data-minio-0 '{.status.phase}' Bound
# A moment lies between Ready and the rules of kube-proxy.
for url in http://web/ http://minio.default.svc.cluster.local/minio/health/live http://minio-0.minio.default.svc.cluster.local:9000/minio/health/live; do
  expect 10 "$url answers in a pod" in_pod curl -fsS --max-time 5 "$url"
done
curl -fsS --noproxy '*' --max-time 5 "http://$(k get svc web -o 'jsonpath={.spec.clusterIP}')/" >/dev/null
echo "Services answer by name from a pod, and by address from the host"
since; if in_pod getent hosts milvus.example.org; then exit 1; fi; measured "a name outside does not exist, after"
[ "$(k logs web-client)" = "" ]
[ "$(in_pod sh -c 'curl -s -o /dev/null -w "%{http_code}" --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt -H "Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)" https://kubernetes.default/api/v1/namespaces/default/pods')" = 403 ]
k create rolebinding view --clusterrole=view --serviceaccount=default:default >/dev/null
[ "$(in_pod sh -c 'curl -s -o /dev/null -w "%{http_code}" --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt -H "Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)" https://kubernetes.default/api/v1/namespaces/default/pods')" = 200 ]
echo "the API answers in a pod as kubernetes.default: refused without, answered with a role"
since; k run absent --image=milvusdb/absent:1 >/dev/null; expect 20 "an image that is nowhere is an error" is pod/absent '{.status.containerStatuses[0].state.waiting.reason}' ErrImagePull; measured "an image that is nowhere shows as ErrImagePull after"
k delete pod absent --wait=false >/dev/null

k exec minio-0 -- sh -c 'echo kept >/data/kept'
uid=$(k get pod minio-0 -o 'jsonpath={.metadata.uid}')
since; k delete pod minio-0 --wait=false >/dev/null
other() { [ "$(k get pod minio-0 -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].ready}')" != "$uid true" ] && is pod/minio-0 '{.status.containerStatuses[0].ready}' true; }
expect 60 "the deleted pod is back" other; measured "deleted pod ready again after"
[ "$(k exec minio-0 -- cat /data/kept)" = kept ]

fake=(--image=fake:1 --replicas=5)
k create deployment fake "${fake[@]}" --dry-run=client -o json | python3 -c '
import json, sys
d = json.load(sys.stdin)
d["spec"]["template"]["spec"].update(nodeSelector={"type": "kwok"}, tolerations=[{"key": "kwok.x-k8s.io/node", "operator": "Exists"}])
json.dump(d, sys.stdout)' >"$STATE/fake.json"
since; k apply -f "$STATE/fake.json" >/dev/null; expect 20 "five fake pods are ready" is deploy/fake '{.status.availableReplicas}' 5; measured "five fake pods ready after"

user=$("$cluster" kubeconfig user:alice,readers); k create clusterrolebinding readers --clusterrole=view --group=readers >/dev/null
start=$(date +%s.%N)
for _ in 1 2 3; do kubectl --kubeconfig "$user" get --raw /api/v1/namespaces/default/pods >/dev/null; done
if kubectl --kubeconfig "$user" -n default delete pod web-client 2>/dev/null; then exit 1; fi
counted=$("$cluster" requests --user alice --since "$start" | grep -v /version | sort)
[ "$counted" = "$(printf 'alice\tdelete\tpods\t1\nalice\tlist\tpods\t3')" ] || { echo "requests were counted as: $counted" >&2; exit 1; }
echo "requests of a user are counted, the refused one too"
account=$("$cluster" kubeconfig sa:default/default)
kubectl --kubeconfig "$account" -n default get pods >/dev/null
"$KUBERNETES/build.sh" helm >"$STATE/helm"; KUBECONFIG=$account "$(cat "$STATE/helm")" version --short

since; "$cluster" kill kube-apiserver; sleep 30
if k get nodes >/dev/null 2>&1; then exit 1; fi
since; "$cluster" start kube-apiserver; measured "API server away for 30 s, then ready after"
[ -z "$(k get nodes -o jsonpath='{.items[*].spec.taints[?(@.effect=="NoExecute")].key}')" ] || { echo "a node was taken for lost" >&2; exit 1; }
since; k scale deploy/web deploy/fake --replicas=6 >/dev/null
expect 20 "new fake pods run after the outage" is deploy/fake '{.status.availableReplicas}' 6; measured "one more fake pod ready after"
expect 120 "new real pods too" is deploy/web '{.status.availableReplicas}' 6; measured "four more real pods ready after (the kubelet's patience)"
"$cluster" pause kube-apiserver; if kubectl --kubeconfig "$user" --request-timeout=2s get pods >/dev/null 2>&1; then exit 1; fi
"$cluster" resume kube-apiserver; expect 20 "the API server goes on" k get nodes

since; "$node" kill 1; expect 60 "the killed node is not ready" is node/node1 '{.status.conditions[?(@.type=="Ready")].status}' Unknown; measured "killed node shows NotReady after"
since; "$node" start 1; measured "started again: Ready after"
expect 90 "MinIO is back after the power loss" is sts/minio '{.status.readyReplicas}' 1; measured "and its pods ready after"
[ "$(k exec minio-0 -- cat /data/kept)" = kept ]
since; "$node" cut 1; expect 60 "the cut node is not ready" is node/node1 '{.status.conditions[?(@.type=="Ready")].status}' Unknown; measured "cut node shows NotReady after"
since; "$node" heal 1; expect 60 "the healed node is ready" is node/node1 '{.status.conditions[?(@.type=="Ready")].status}' True; measured "healed: Ready after"

volume=$(k get pvc data-minio-0 -o 'jsonpath={.spec.volumeName}')
k delete sts minio --wait=true >/dev/null; k delete pod minio-0 --ignore-not-found --wait=true >/dev/null; k delete pvc data-minio-0 --wait=true >/dev/null
expect 20 "the volume is released" is "pv/$volume" '{.status.phase}' Released
"$cluster" volumes
[ "$(k get pv --no-headers | grep -c Available)" = 24 ] && [ -z "$(ls -A "$STATE/volumes/$volume")" ]
echo "a released volume is wiped and offered again"
"$cluster" status

since; "$cluster" down; measured "down after"
left_over
for seconds in 0.5 4 9; do
  setsid "$cluster" up 1 1 >/dev/null 2>&1 & pid=$!
  sleep $seconds; kill -9 -- "-$pid"; wait "$pid" 2>/dev/null || true
  "$cluster" down
  left_over
done
echo "ok: nothing left behind, also after kill -9"
