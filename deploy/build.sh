#!/bin/sh
# Builds the operator and the gateway as static binaries and prints their paths, one a line: the same files that the images
# hold (image.sh), usable on any Linux of this architecture.
#
#   deploy/build.sh [milvus-operator] [milvus-gateway]     prints these alone; both when none is named
set -eu
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- milvus-operator milvus-gateway
# Both at once, always: built one by one, they would ask for different features of shared dependencies and each would build
# its own.
# --target, even for the host: without it the flags would reach build scripts and procedural macros, which cannot be static.
RUSTFLAGS="-C target-feature=+crt-static ${RUSTFLAGS:-}" cargo build --locked --release --target "$target" \
    --package milvus-operator --bin milvus-operator --package milvus-gateway --bin milvus-gateway >&2
directory=${CARGO_TARGET_DIR:-target}
case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
for binary in "$@"; do
    echo "$directory/$target/release/$binary"
done
