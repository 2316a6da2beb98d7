#!/bin/bash
# First process of the namespaces: a node's network, empty folders where the node's programs have fixed places, the command.
set -euo pipefail
mount --make-rprivate /
for folder in /run /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
ip link set lo up
ip link add node0 type bridge
ip addr add 10.210.0.1/24 dev node0
ip link set node0 up
# Nothing is behind it; kube-apiserver and kube-proxy look for a default route.
ip route add default via 10.210.0.254 dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
# Not exec: this shell reaps what the container runtime leaves to the first process.
"$@" &
trap 'kill -TERM "$!" 2>/dev/null' INT TERM
wait "$!"
