#!/usr/bin/env bash
# Compiled dependencies, kept with the testbed's other parts so that a fresh clone need not compile them again. They are
# used where the compiler, Cargo.lock, the manifests and the flags are the same, and never required.
#   compiled.sh restore     into a target folder that has none yet
#   compiled.sh keep        from the target folder, unless they are kept already; what does not fit any more goes
# Of the workspace's own crates nothing is kept: a checkout always compiles its own sources.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
ROOT=$(cd "$TESTBED_DIR/../.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
KEPT=$TESTBED_STATE/compiled
HOST=$(rustc -vV | sed -n 's/^host: //p')

# What decides whether a compiled crate fits: all manifests count, because features of shared dependencies are the sum of theirs.
key() {
  (
    cd "$ROOT"
    { rustc -vV; env | grep -E '^(CARGO_PROFILE|CARGO_BUILD|RUSTFLAGS)' | sort || true
      find . -path ./target -prune -o \( -name Cargo.toml -o -path ./Cargo.lock -o -path './.cargo/*' -o -path ./deploy/build.sh \) -type f -print |
        sort | xargs sha256sum; } | sha256sum | cut -c1-16
  )
}

folders() { # the folders of the two profiles that the checks, the tests and the images are built in
  local folder
  for folder in debug release "$HOST/release"; do if [ -d "$1/$folder/deps" ]; then echo "$folder"; fi; done
}

copy() { # copy FROM TO : with times, which Cargo compares; without the workspace's own crates
  local folder part
  for folder in $(folders "$1"); do
    for part in deps build .fingerprint; do
      [ -d "$1/$folder/$part" ] || continue
      mkdir -p "$2/$folder/$part"
      find "$1/$folder/$part" -mindepth 1 -maxdepth 1 ! -name '*milvus*' -exec cp -a --reflink=auto -t "$2/$folder/$part" {} +
    done
  done
}

restore() {
  local kept; kept=$KEPT/$(key)
  if [ ! -d "$kept" ] || [ -n "$(folders "$TARGET")" ]; then return; fi
  mkdir -p "$TARGET"
  copy "$kept" "$TARGET"
  touch "$kept"
  say "compiled dependencies are there from an earlier run"
}

keep() {
  local kept; kept=$KEPT/$(key)
  if [ -d "$kept" ] || [ -z "$(folders "$TARGET")" ]; then return; fi
  mkdir -p "$KEPT"
  rm -rf --one-file-system "$KEPT"/*
  copy "$TARGET" "$KEPT/.new"
  mv "$KEPT/.new" "$kept"
}

case ${1:-} in
restore) if [ -d "$KEPT" ]; then locked compiled restore; fi ;;
keep) locked compiled keep ;;
*) sed -n '2,6p' "$0"; exit 2 ;;
esac
