#!/bin/bash
# Builds a real Kubernetes (control plane, kubelet, kubectl), a small CoreDNS and metrics-server from their Go modules once,
# and prints the folder that holds the programs: about 15 minutes on two cores, 0.6 GB. The folder's name carries the hash of
# the sources; what an interrupted build had done is in Go's build cache. BUILD_JOBS (default 1) is `go build -p`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
cache=${FLOWGATE_CACHE:-$HOME/.cache/flowgate}
hash=$(cat build.sh ./*/go.* ./*/*.go | sha256sum)
out=$cache/kubernetes-${hash:0:16}
# 1.34 is the last minor version whose kubelet runs on cgroup v1 when it is asked to.
version=$(sed -n 's/^require k8s.io\/kubernetes //p' kubernetes/go.mod)

if [[ ! -d $out ]]; then
    mkdir -p "$cache"
    exec 8>"$out.lock"
    flock 8
fi
if [[ ! -d $out ]]; then
    go=$(../../interop/peers/go.sh)
    GOPROXY=$("$go" env GOPROXY)
    export GOPROXY=${GOPROXY%,direct} CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
    part=$(mktemp -d "$out.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    mkdir "$part/bin"
    cp -r kubernetes dns metrics pause "$part" # -mod=mod may write go.sum: never into the source tree
    minor=${version#v1.}
    named=(
        "-X k8s.io/component-base/version.gitVersion=$version"
        "-X k8s.io/component-base/version.gitMajor=1"
        "-X k8s.io/component-base/version.gitMinor=${minor%%.*}"
        "-X k8s.io/component-base/version.gitTreeState=clean"
        "-X k8s.io/client-go/pkg/version.gitVersion=$version"
    )
    build() { # build FOLDER PACKAGE [NAME]
        echo "$(date +%T) building ${3:-${2##*/}}" >&2
        (cd "$part/$1" && nice -n 19 "$go" build -p "${BUILD_JOBS:-1}" -mod=mod -trimpath -buildvcs=false \
            -ldflags "-s -w ${named[*]}" -o "$part/bin/${3:-${2##*/}}" "$2") >&2
    }
    for program in kubectl kubelet kube-scheduler kube-proxy kube-controller-manager kube-apiserver; do
        build kubernetes "k8s.io/kubernetes/cmd/$program"
    done
    build dns . coredns
    build metrics sigs.k8s.io/metrics-server/cmd/metrics-server
    build pause . pause
    mv "$part/bin" "$out"
fi
echo "$out"
