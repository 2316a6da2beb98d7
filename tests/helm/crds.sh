#!/bin/bash
# Prints the folder of the CustomResourceDefinitions that foreign manifests of the chart have to fit: taken once from the Go
# modules of their projects into the cache (13 MB of downloads).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
files=(
    github.com/kedacore/keda/v2@v2.21.0/config/crd/bases/keda.sh_scaledobjects.yaml
    github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
    sigs.k8s.io/gateway-api@v1.4.1/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
)
hash=$(sha256sum <crds.sh)
cache=${FLOWGATE_CACHE:-$HOME/.cache/flowgate}
out=$cache/crds-${hash:0:16}

if [[ ! -d $out ]]; then
    mkdir -p "$cache"
    exec 8>"$out.lock"
    flock 8 # whoever comes second finds the work done
fi
if [[ ! -d $out ]]; then
    go=$(../interop/peers/go.sh)
    GOPROXY=$("$go" env GOPROXY)
    export GOPROXY=${GOPROXY%,direct} GOTOOLCHAIN=local GOWORK=off
    part=$(mktemp -d "$out.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    for file in "${files[@]}"; do
        version=${file#*@}
        module=${file%%@*}@${version%%/*}
        "$go" mod download "$module" >&2
        install -m 644 "$("$go" env GOMODCACHE)/$module/${version#*/}" "$part"
    done
    chmod 755 "$part"
    mv "$part" "$out"
    trap - EXIT
fi
echo "$out"
