#!/usr/bin/env bash
# Installs what a fresh Debian 12 machine lacks for the testbed; does nothing, quickly, where all is there.
# Rust, Go, Python and kubectl are expected (their versions in Debian 12 are too old): their absence is reported.
# Usage: packages.sh        as root, without questions
set -euo pipefail
. "$(dirname "$0")/lib.sh"

missing=()
need() { command -v "$1" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need dockerd docker.io
need docker docker.io
need iptables iptables
need ip iproute2
need debootstrap debootstrap
need docker-registry docker-registry
need conntrack conntrack
need containerd containerd
need runc runc
need nft nftables
need ssh openssh-client
need sshd openssh-server
[ -x /usr/lib/cni/ptp ] || missing+=(containernetworking-plugins)
need mvn maven
need java openjdk-17-jre-headless
need curl curl
need flock util-linux
need make make
need openssl openssl
need ps procps
# Debian splits venv and pip off its own Python; other Pythons (pyenv, images) carry them.
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)

if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  say "installing: ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "needs root to install: ${missing[*]}"
  command -v apt-get >/dev/null || die "this is not Debian; install these yourself: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  # No service is started by the installation: the testbed starts its own engines and registry.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; fi
  install_missing() { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; }
  if ! again install_missing >"$log" 2>&1 </dev/null; then
    tail -20 "$log" >&2; die "apt-get failed; the lines above are the end of $log"
  fi
  rm -f "$log"
fi

absent=()
for tool in cargo go kubectl python3; do command -v $tool >/dev/null 2>&1 || absent+=("$tool"); done
[ ${#absent[@]} -eq 0 ] || die "please install first, it is not part of Debian 12 in a usable version: ${absent[*]}"
[ "$(uname -m)" = x86_64 ] || die "the Milvus binaries of the package registry exist for x86_64 only, not for $(uname -m)"
