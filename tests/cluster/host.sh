#!/bin/bash
# One "host": runs in its own network, process and mount namespace; $1 is its folder.
# Private: root's home (named in a passwd of its own), /tmp/ray, /dev/shm and /run.
set -euo pipefail
folder=$1
mount -t tmpfs tmpfs /tmp/ray
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/shadow" /etc/shadow
hostname "$(basename "$folder")" 2> /dev/null || true
exec /usr/sbin/sshd -D -E "$folder/sshd.log" -f "$folder/sshd_config"
