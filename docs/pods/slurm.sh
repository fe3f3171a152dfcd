#!/usr/bin/env bash
# Two nodes of eight GPUs, a process each. `segjax launch --slurm nodes=2,gpus=8,time=4h` writes and submits such a script
# and queues it again when it is preempted; this one is for whoever submits by hand: sbatch slurm.sh RUN
#SBATCH --job-name=segjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=4:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail
srun --kill-on-bad-exit=1 segjax train --resume "${1:?the run folder, which every node sees}"
