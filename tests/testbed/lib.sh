# Shared by the scripts of the testbed: where its state lives, messages, locks. Sourced, never run.
#
# Everything that the testbed keeps is under TESTBED_STATE:
#   engine/     the local engine in which images are built and kept (engine.sh)
#   work/       parts of images that are expensive to make again (images.sh)
#   registry/   storage of the registry that the Swarm nodes pull from (swarm.sh)
#   seed/       an engine data root holding the pushed images, hard-linked into new nodes (swarm.sh)
#   compiled/   compiled dependencies of the workspace (compiled.sh)
#   client/     the Python environment with pymilvus (client.sh)
#   swarms/     one folder per running Swarm (swarm.sh)
#   kube/       Kubernetes: binaries and the modules they are built from (kubernetes/build.sh)
#   clusters/   one folder per running Kubernetes cluster (kubernetes/cluster.sh)
# shellcheck shell=bash
set -euo pipefail
TESTBED_STATE=${TESTBED_STATE:-/var/tmp/milvus-testbed}
TESTBED_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ENGINE_SOCKET=$TESTBED_STATE/engine/docker.sock

# The Milvus release that the tests and the demo run, and everything else a cluster of it needs.
MILVUS_VERSION=2.3.5
IMAGE_MILVUS=milvusdb/milvus:v$MILVUS_VERSION
IMAGE_ETCD=milvusdb/etcd:3.6.16
IMAGE_MINIO=minio/minio:RELEASE.testbed
IMAGE_PULSAR=apachepulsar/pulsar:3.0.7
IMAGE_PAUSE=testbed/pause:1 # what holds a pod's namespaces; Kubernetes alone needs it
IMAGES=("$IMAGE_MILVUS" "$IMAGE_ETCD" "$IMAGE_MINIO" "$IMAGE_PULSAR")

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Tries a command up to three times: what comes over a network does not always come at once.
again() { # again COMMAND...
  local pause
  for pause in 5 20; do
    if "$@"; then return; fi
    say "once more in $pause s: $*"
    sleep "$pause"
  done
  "$@"
}

# Runs a command as a step that the list of times names (times.py).
timed() { "$TESTBED_DIR/times.py" run "$@"; } # timed NAME COMMAND...

# Debian's own client where it is: a newer one elsewhere in PATH may have dropped the API version of Debian's engine.
if [ -x /usr/bin/docker ]; then DOCKER=/usr/bin/docker; else DOCKER=docker; fi
docker() { command "$DOCKER" "$@"; }

# Talks to the local engine, whatever DOCKER_HOST the caller has.
local_engine() { DOCKER_HOST="unix://$ENGINE_SOCKET" docker "$@"; }

# A process of ours still runs: the pid in FILE is alive and its command line names NEEDLE (pids are used again).
alive() { # alive PIDFILE NEEDLE
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$2"
}

# Ends the process of a pid file, if it is ours, and waits for it.
end() { # end PIDFILE NEEDLE [SIGNAL]
  local pid i
  if alive "$1" "$2"; then
    pid=$(cat "$1")
    kill "-${3:-TERM}" "$pid" 2>/dev/null || true
    for ((i = 0; i < 150; i++)); do alive "$1" "$2" || break; sleep 0.1; done
    if alive "$1" "$2"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$1"
}

# Runs a command under a lock file, so that two runs never build or push the same thing at once. The
# descriptor is closed for the command's daemons by the callers that start some (9>&-).
locked() { # locked NAME COMMAND...
  local name=$1; shift
  mkdir -p "$TESTBED_STATE"
  exec 9>"$TESTBED_STATE/.lock-$name"
  flock -n 9 || { say "waiting for another run that holds the lock '$name'"; flock 9; }
  "$@"
  exec 9>&-
}
