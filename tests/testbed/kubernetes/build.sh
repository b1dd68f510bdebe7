#!/usr/bin/env bash
# Builds parts of a real Kubernetes from Go modules alone and prints the path of each, one a line.
# Usage: build.sh COMPONENT...
#   kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy    of KUBE_VERSION (default v1.34.4)
#   etcd                                                                        of ETCD_VERSION (default v3.6.16)
#   kwok coredns helm                                                           versions below; they share one module
#
# What is there already is only named. Of the first row the first component takes about four minutes of two cores (modules are
# fetched and compiled), the controller-manager one more, each further one some seconds; of the last row the first
# takes about 75 s, each further one about 15 s.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
KUBE_VERSION=${KUBE_VERSION:-v1.34.4}
ETCD_VERSION=${ETCD_VERSION:-v3.6.16}
KUBE=$TESTBED_STATE/kube
SRC=$KUBE/src-$KUBE_VERSION BIN=$KUBE/bin-$KUBE_VERSION
# The newest of each: they agree on one release of client-go, which is compiled once for all three.
KWOK_VERSION=v0.8.0 COREDNS_VERSION=v1.15.0 HELM_VERSION=v3.22.0
ADDONS_SRC=$KUBE/src-addons-$KWOK_VERSION-$COREDNS_VERSION-$HELM_VERSION
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

# A module that requires what k8s.io/kubernetes requires. Kubernetes itself replaces its staging modules by folders
# of its repository; published under their own names and version numbers, they are replaced by those here.
module() {
  [ ! -f "$SRC/go.sum" ] || return 0
  local mod component
  mkdir -p "$SRC"
  # Of a failed try the answer is JSON as well: the last one counts.
  mod=$(cd /tmp && again go mod download -json "k8s.io/kubernetes@$KUBE_VERSION" | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p' | tail -1)
  [ -f "$mod" ] || die "the module of Kubernetes cannot be had"
  python3 - "$mod" "$KUBE_VERSION" >"$SRC/go.mod" <<'PY'
import re, sys
text, version = open(sys.argv[1]).read(), sys.argv[2]
staging_version = "v0." + version.removeprefix("v1.")
staging = re.findall(r"^\s*(?:replace\s+)?(k8s\.io/\S+)\s+=>\s+\./staging/", text, re.M)
if not staging:
    sys.exit("no staging modules found in the go.mod of Kubernetes: its layout has changed")
print("module controlplane\n\ngo", re.search(r"^go (\S+)", text, re.M).group(1))
for line in re.findall(r"^godebug .*$", text, re.M):
    print(line)
print("\nrequire (\n\tk8s.io/kubernetes", version)
for name, required in re.findall(r"^\t(\S+\.\S+) (v\S+)", text, re.M):
    print("\t" + name, staging_version if name in staging else required)
print(")\n\nreplace (")
for name in staging:
    print("\t" + name, "=>", name, staging_version)
print(")")
PY
  for component in kube-apiserver:NewAPIServerCommand kube-controller-manager:NewControllerManagerCommand \
    kube-scheduler:NewSchedulerCommand kube-proxy:NewProxyCommand kubelet:NewKubeletCommand; do
    main "${component%%:*}" "${component##*:}"
  done
  # Every command at once, so that go.sum is complete whichever is built first.
  (cd "$SRC" && GOFLAGS="$GOFLAGS -mod=mod" again nice -n 10 go list -deps ./... >/dev/null)
}

main() { # main COMPONENT CONSTRUCTOR
  local context='' import=''
  if [ "$1" = kubelet ]; then context='context.Background()' import='	"context"'; fi
  mkdir -p "$SRC/cmd/$1"
  cat >"$SRC/cmd/$1/main.go" <<GO
package main

import (
$import
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/$1/app"
)

func main() { os.Exit(cli.Run(app.$2($context))) }
GO
}

build() { # build COMPONENT
  if [ -x "$BIN/$1" ]; then return; fi
  local start=$SECONDS minor flags='-s -w' package
  minor=${KUBE_VERSION#v1.} minor=${minor%%.*}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$KUBE_VERSION -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=testbed -X $package.buildDate=1970-01-01T00:00:00Z"
  done
  say "building $1 $KUBE_VERSION from Go modules; takes some minutes"
  (cd "$SRC" && again nice -n 10 go build -mod=mod -trimpath -p 2 -ldflags "$flags" -o "$BIN/.$1" "./cmd/$1") >&2
  mv "$BIN/.$1" "$BIN/$1"
  say "$1 built in $((SECONDS - start)) s"
}

# The images' etcd serves here too; built alike where there are no images yet.
etcd() {
  local made=$TESTBED_STATE/work/bin/etcd@$ETCD_VERSION src=$KUBE/src-etcd-$ETCD_VERSION
  if [ -x "$BIN/etcd" ]; then return; fi
  if [ -x "$made" ]; then ln "$made" "$BIN/etcd" 2>/dev/null || cp "$made" "$BIN/etcd"; return; fi
  mkdir -p "$src"
  cat >"$src/main.go" <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
  (
    cd "$src"
    [ -f go.mod ] || go mod init etcd
    again go get "go.etcd.io/etcd/server/v3/etcdmain@$ETCD_VERSION" >"$KUBE/etcd.log" 2>&1 || { tail -15 "$KUBE/etcd.log" >&2; die "the modules of etcd do not resolve"; }
    nice -n 10 go build -trimpath -ldflags '-s -w' -o "$BIN/.etcd" .
  ) >&2
  mv "$BIN/.etcd" "$BIN/etcd"
}

# KWOK, CoreDNS and Helm in one module. CoreDNS has only the plugins that a cluster's DNS needs here: the clients of the
# cloud providers are most of the whole.
addons() {
  [ ! -f "$ADDONS_SRC/.complete" ] || return 0
  rm -rf "$ADDONS_SRC"; mkdir -p "$ADDONS_SRC/coredns"
  cat >"$ADDONS_SRC/coredns/main.go" <<'GO'
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() { coremain.Run() }
GO
  (
    cd "$ADDONS_SRC"
    go mod init addons
    again go get "sigs.k8s.io/kwok@$KWOK_VERSION" "github.com/coredns/coredns@$COREDNS_VERSION" "helm.sh/helm/v3@$HELM_VERSION"
  ) >"$KUBE/addons.log" 2>&1 || { tail -15 "$KUBE/addons.log" >&2; die "the modules of KWOK, CoreDNS and Helm do not resolve"; }
  touch "$ADDONS_SRC/.complete"
}

addon() { # addon NAME VERSION PACKAGE VARIABLE
  local start=$SECONDS dir=$KUBE/$1-$2
  if [ -x "$dir/$1" ]; then return; fi
  addons
  mkdir -p "$dir"
  say "building $1 $2 from Go modules"
  (cd "$ADDONS_SRC" && again nice -n 10 go build -mod=mod -trimpath -p 2 -ldflags "-s -w -X $4=$2" -o "$dir/.$1" "$3") >&2
  mv "$dir/.$1" "$dir/$1"
  say "$1 built in $((SECONDS - start)) s"
}

path() { # path COMPONENT : where it is, or would be
  case $1 in
    kwok) echo "$KUBE/kwok-$KWOK_VERSION/kwok" ;;
    coredns) echo "$KUBE/coredns-$COREDNS_VERSION/coredns" ;;
    helm) echo "$KUBE/helm-$HELM_VERSION/helm" ;;
    *) echo "$BIN/$1" ;;
  esac
}

make_all() {
  local component
  mkdir -p "$BIN"
  for component in "$@"; do
    case $component in
      etcd) etcd ;;
      kube-apiserver | kube-controller-manager | kube-scheduler | kube-proxy | kubelet) module; build "$component" ;;
      kwok) addon kwok "$KWOK_VERSION" sigs.k8s.io/kwok/cmd/kwok sigs.k8s.io/kwok/pkg/consts.Version ;;
      coredns) addon coredns "$COREDNS_VERSION" ./coredns github.com/coredns/coredns/coremain.GitCommit ;;
      helm) addon helm "$HELM_VERSION" helm.sh/helm/v3/cmd/helm helm.sh/helm/v3/internal/version.version ;;
      *) die "unknown component $component" ;;
    esac
  done
}

[ $# -gt 0 ] || die "usage: build.sh COMPONENT..."
missing=0
for component in "$@"; do [ -x "$(path "$component")" ] || missing=1; done
if [ $missing = 1 ]; then
  command -v go >/dev/null || die "Go is needed to build Kubernetes; please install it"
  locked kube make_all "$@"
fi
for component in "$@"; do path "$component"; done
