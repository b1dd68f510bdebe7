#!/bin/sh
# Builds the images from statically linked binaries (build.sh): no distribution, no shell, no C library inside.
#
#   deploy/image.sh [operator] [gateway]     both when none is named
#
# IMAGE_PREFIX   put before the names, for instance registry.example/milvus/
# OPERATOR_TAG   default: dev
# The gateway's tag is the version in operator/gateway/Cargo.toml; it changes only when the gateway does.
set -eu

cd "$(dirname "$0")/.."
prefix=${IMAGE_PREFIX:-}
limit=$((25 * 1000 * 1000))

version_of() {
    sed -n 's/^version = "\(.*\)"$/\1/p' "$1" | head -n 1
}

# build BINARY DOCKERFILE IMAGE
build() {
    binary=$(deploy/build.sh "$1")
    if readelf -lW "$binary" | grep -q INTERP; then
        echo "image.sh: $binary is not static: it asks for a dynamic loader" >&2
        exit 1
    fi
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp "$binary" "$context/"
    # The classic builder: nothing to run in the build, and it is on every engine.
    DOCKER_BUILDKIT=0 docker build --quiet --file "$2" --tag "$3" "$context" >/dev/null
    rm -rf "$context"
    trap - EXIT
    size=$(docker image inspect --format '{{.Size}}' "$3")
    if [ "$size" -gt "$limit" ]; then
        echo "image.sh: $3 has $size bytes, more than $limit" >&2
        exit 1
    fi
    echo "$3: $size bytes"
}

[ $# -gt 0 ] || set -- operator gateway
for what in "$@"; do
    case $what in
    operator)
        build milvus-operator deploy/Dockerfile "${prefix}milvus-operator:${OPERATOR_TAG:-dev}"
        ;;
    gateway)
        build milvus-gateway deploy/Dockerfile.gateway \
            "${prefix}milvus-gateway:$(version_of operator/gateway/Cargo.toml)"
        ;;
    *)
        echo "usage: deploy/image.sh [operator] [gateway]" >&2
        exit 2
        ;;
    esac
done
