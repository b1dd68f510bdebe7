#!/usr/bin/env bash
# The first process of a real node, in namespaces of its own (node.sh starts it): containerd, kubelet, kube-proxy. It ends
# when one of them ends, and everything else of the node with it.
# Usage: node_init.sh FOLDER N NET KUBELET KUBE-PROXY NODE-KUBECONFIG PROXY-KUBECONFIG
set -euo pipefail
dir=$1 n=$2 net=$3 kubelet=$4 proxy=$5 node_config=$6 proxy_config=$7
hostname "node$n"
# Volumes that a container mounts for others must come out of it again; out of this namespace they do not.
mount --make-rshared /
mount --bind "$dir/resolv.conf" "$(realpath /etc/resolv.conf)"
# Kubelet and CNI keep notes there that are of this node alone.
for d in /var/log /var/lib; do mkdir -p "$dir$d"; mount --bind "$dir$d" "$d"; done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/netns
unset DOCKER_HOST http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0

nice -n 2 containerd --config "$dir/containerd.toml" >>"$dir/containerd.log" 2>&1 &
for ((i = 0; i < 200; i++)); do [ ! -S "$dir/containerd.sock" ] || break; sleep 0.05; done
nice -n 2 "$kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$node_config" --hostname-override "node$n" --node-ip "$net.0.$n" \
  --root-dir "$dir/kubelet" --cert-dir "$dir/kubelet/pki" --node-labels type=real >>"$dir/kubelet.log" 2>&1 &
nice -n 2 "$proxy" --kubeconfig "$proxy_config" --proxy-mode nftables --cluster-cidr "$net.16.0/20" --hostname-override "node$n" \
  --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 >>"$dir/kube-proxy.log" 2>&1 &
wait -n
echo "$(date +%H:%M:%S) a process of node$n ended; see the logs in $dir"
exit 1
