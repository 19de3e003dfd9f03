#!/usr/bin/env bash
# Train under Slurm: one torchrun a node. It passes over the signals by which Slurm asks its trainers to save and stop.
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=40] [SRUN_ARGS="--time=2-0"] \
#       tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
work_dir=$4
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus" -lt "$gpus_per_node" ]; then gpus_per_node=$gpus; fi
if [ $((gpus % gpus_per_node)) -ne 0 ]; then
    echo "error: GPUS=$gpus is not a multiple of GPUS_PER_NODE=$gpus_per_node" >&2
    exit 2
fi
export TRAIN_SCRIPT GPUS_PER_NODE=$gpus_per_node PORT=${PORT:-29500}
TRAIN_SCRIPT=$(dirname "$0")/train.py
# shellcheck disable=SC2086  # SRUN_ARGS is several arguments
exec srun -p "$partition" \
    --job-name="$job_name" \
    --nodes=$((gpus / gpus_per_node)) \
    --ntasks-per-node=1 \
    --gres=gpu:"$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-$((5 * gpus_per_node))}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    bash -c 'trap "" USR1 USR2; exec torchrun --nnodes="$SLURM_NNODES" --nproc_per_node="$GPUS_PER_NODE" \
        --rdzv_id="$SLURM_JOB_ID" --rdzv_backend=c10d \
        --rdzv_endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$PORT" \
        "$TRAIN_SCRIPT" "$@"' torchrun "$config" --work-dir="$work_dir" --launcher pytorch "${@:5}"
