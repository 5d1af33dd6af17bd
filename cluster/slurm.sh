#!/bin/bash
#SBATCH --job-name=masll
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
# A Ray cluster for the time of one Slurm job, and a study on it. From the project's folder, which
# lies on a file system that all nodes share and has its .venv (`make`):
#   sbatch cluster/slurm.sh --data /shared/ISIC2017 --study /shared/studies/paper --preset paper
# Options before the script's name override those above: sbatch --nodes=4 cluster/slurm.sh ...
# Out of time? What has finished is kept: sbatch cluster/slurm.sh --study ... --resume
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
ip=$(getent ahostsv4 "${nodes[0]}" | awk 'NR == 1 { print $1 }') || true
[[ -n $ip ]] || { echo "error: node ${nodes[0]} has no IPv4 address here" >&2; exit 2; }
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs may share a node, so may two users
# Of a node's own, and short: Ray's sockets lie in it, and a path to one has 107 characters at most.
folder="/tmp/ray-$SLURM_JOB_ID"
cpus=${SLURM_CPUS_PER_TASK:-1}
ray_nodes=()
# A token of this job's own, in a file: command lines and environments can be seen by others.
export RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32))' > "$RAY_AUTH_TOKEN_PATH")

# shellcheck disable=SC2329 # the trap calls it
clean_up() {
    # Not `ray stop`: it would end the Ray of every other job of this user on the node too.
    kill "${ray_nodes[@]}" 2> /dev/null || true
    wait "${ray_nodes[@]}" 2> /dev/null || true
    srun --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" --overlap rm -rf "$folder" || true
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap clean_up EXIT

on_node() {
    local node=$1
    shift
    # Since Slurm 22.05 a step has one core unless it asks for those of the job itself.
    srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --overlap --nodelist="$node" "$@" &
    ray_nodes+=($!)
}
wait_for() { # until so many nodes are there
    timeout 600 python - "$ip:$port" "$1" << 'END' || { echo "error: no $1 Ray nodes" >&2; exit 1; }
import sys, time
import ray

address, wanted = sys.argv[1], int(sys.argv[2])
while not ray.is_initialized():
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception:  # the head is still starting
        time.sleep(2)
while sum(node["Alive"] for node in ray.nodes()) < wanted:
    time.sleep(1)
END
}
common=(--num-cpus="$cpus" --object-store-memory=500000000 --block)
on_node "${nodes[0]}" ray start --head --node-ip-address="$ip" --port="$port" \
    --include-dashboard=false --temp-dir="$folder" "${common[@]}"
wait_for 1
for node in "${nodes[@]:1}"; do
    on_node "$node" ray start --address="$ip:$port" "${common[@]}"
done
wait_for "${#nodes[@]}"

set -m # or the search would ignore Ctrl-C, as a shell's background processes do
python -m tuning.search --address "$ip:$port" "$@" &
search=$!
set +m
told=
trap 'told=1; kill -INT "$search"' INT TERM # five minutes before the time is up, see --signal
status=0
wait "$search" || status=$?
while [[ $told ]]; do # the signal has ended the wait only
    told=
    status=0
    wait "$search" || status=$?
done
exit "$status"
