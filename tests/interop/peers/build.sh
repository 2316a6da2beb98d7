#!/bin/bash
# Builds the real opampsupervisor and a real collector (fgcol) once, and prints the folder that holds both.
# The folder's name carries the hash of the sources, so a change builds anew and an unchanged tree costs nothing.
# Versions are pinned by go.mod and go.sum: do not run `go mod tidy` here, one test-only dependency cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${FLOWGATE_CACHE:-$HOME/.cache/flowgate}
hash=$(cat build.sh supervisor/go.* collector/* | sha256sum)
out=$cache/peers-${hash:0:16}

if [[ ! -d $out ]]; then
    mkdir -p "$cache"
    exec 8>"$out.lock"
    flock 8 # whoever comes second finds the work done
fi
if [[ ! -d $out ]]; then
    go=$(./go.sh)
    GOPROXY=$("$go" env GOPROXY)
    export GOPROXY=${GOPROXY%,direct} # a module that the proxy lacks must fail, not fall through to git
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
    part=$(mktemp -d "$out.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    mkdir "$part/bin"
    cp -r supervisor collector "$part" # -mod=mod may write go.sum: never into the source tree
    flags=(-mod=mod -trimpath -buildvcs=false -ldflags=-s\ -w)
    (cd "$part/supervisor" && "$go" build "${flags[@]}" -o ../bin/ github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor) >&2
    (cd "$part/collector" && "$go" build "${flags[@]}" -o ../bin/fgcol .) >&2
    mv "$part/bin" "$out"
fi
echo "$out"
