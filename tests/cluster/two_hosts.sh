#!/bin/bash
# Runs in a network, process and mount namespace of its own (see test_onprem.py), so all of it is
# gone when it ends: starts two hosts behind a bridge, then runs the commands of $1/commands.
set -euo pipefail
work=$1
here=$(dirname "$0")
mkdir -p /tmp/ray
mount -t tmpfs tmpfs /tmp/ray
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add bridge0 type bridge
ip address add 10.77.0.1/24 dev bridge0
ip link set bridge0 up
for number in 2 3; do
    name=host$number
    ip netns add $name
    ip link add veth$number type veth peer name eth0 netns $name
    ip link set veth$number master bridge0 up
    ip -n $name link set lo up
    ip -n $name address add 10.77.0.$number/24 dev eth0
    ip -n $name link set eth0 up
    ip -n $name route add default via 10.77.0.1 # leads nowhere; Ray asks it for its own address
    ip netns exec $name unshare --pid --mount --uts --fork --kill-child --mount-proc \
        bash "$here/host.sh" "$work/$name" &
done
# shellcheck source=/dev/null
. "$work/commands"
