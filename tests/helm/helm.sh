#!/bin/bash
# Prints the path of a real helm: built once from its Go module into the cache (2 to 5 minutes cold).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
version=v3.22.0
cache=${FLOWGATE_CACHE:-$HOME/.cache/flowgate}
out=$cache/helm-$version

if [[ ! -d $out ]]; then
    mkdir -p "$cache"
    exec 8>"$out.lock"
    flock 8 # whoever comes second finds the work done
fi
if [[ ! -d $out ]]; then
    go=$(../interop/peers/go.sh)
    GOPROXY=$("$go" env GOPROXY)
    export GOPROXY=${GOPROXY%,direct} CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
    part=$(mktemp -d "$out.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    assumed= # the version of Kubernetes without a cluster, as helm's own Makefile sets it
    for package in pkg/lint/rules pkg/chartutil; do
        assumed+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=34"
    done
    GOBIN=$part nice -n 10 "$go" install -trimpath -ldflags "-s -w$assumed" "helm.sh/helm/v3/cmd/helm@$version" >&2
    chmod 755 "$part"
    mv "$part" "$out"
    trap - EXIT
fi
echo "$out/helm"
