# shellcheck shell=bash
# What the .sbatch files share: run_job JOB CONFIG [ARGUMENT]... in this allocation.
#
# - One rank a task, by `srun --mpi=pmix` where Slurm has it, else by mpirun; TUTTI_LAUNCH=srun
#   or mpirun decides it.
# - --max-time follows from what is left of the allocation (less a minute, or less a quarter where
#   that is short), unless the arguments have it. That is the guarantee that the run stops in time.
# - USR1, USR2 and TERM to the batch shell go on to every rank, as USR2 (NCCL has been seen to
#   catch USR1, and mpirun answers TERM by killing the ranks).
# - On exit code 75, "stopped early with a checkpoint", the job is requeued, at most
#   TUTTI_MAX_REQUEUES times (default 1000), and goes on by the same command. Any other exit code
#   is the job's.
#
# TUTTI names the binary (default: build/release/jobs/tutti of this repository).
set -euo pipefail

tutti_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "$(date +%FT%T) slurm: $*"; }

# Seconds that are left of the allocation; nothing where Slurm sets no limit.
seconds_left() {
  squeue -h -j "$SLURM_JOB_ID" -o %L | awk -F '[-:]' '
    NR > 1 || !/^[0-9]/ { exit }
    {
      days = 0
      first = 1
      if (/-/) { days = $1; first = 2 }
      for (i = first; i <= NF; ++i) seconds = seconds * 60 + $i
      print days * 86400 + seconds
    }'
}

# When this job was submitted, in seconds since 1970; nothing where Slurm does not tell.
submitted() {
  local at
  at=$(squeue -h -j "$SLURM_JOB_ID" -o %V 2>/dev/null) && [[ $at == *T* ]] && date -d "$at" +%s
}

as_time() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

launcher() {
  local how=${TUTTI_LAUNCH:-}
  if [[ -z $how ]]; then
    how=mpirun
    if srun --mpi=list 2>&1 | grep -w pmix >/dev/null; then how=srun; fi
  fi
  if [[ $how == srun ]]; then
    # Slurm hands the batch job's --cpus-per-task on to its steps only up to 22.04.
    [[ -z ${SLURM_CPUS_PER_TASK:-} ]] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
    command=(srun --mpi=pmix --kill-on-bad-exit=1)
  else
    # Tutti places its threads itself.
    export OMPI_MCA_hwloc_base_binding_policy=none
    command=(mpirun -n "${SLURM_NTASKS:-1}")
  fi
}

requeue() {
  local id=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0}
  [[ -z ${SLURM_ARRAY_TASK_ID:-} ]] || id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  if ((restarts >= ${TUTTI_MAX_REQUEUES:-1000})); then
    say "requeued $restarts times already; submit the same command again to go on"
    return
  fi
  say "stopped early with a checkpoint; requeueing $id"
  # Slurm ends this script while it answers, and takes the requeued job up within minutes.
  scontrol requeue "$id" || say "could not requeue; submit the same command again to go on"
}

run_job() {
  if (($# < 2)); then
    echo "usage: sbatch [OPTION]... slurm/$1.sbatch CONFIG.toml [ARGUMENT]..." >&2
    exit 64
  fi
  local left code again child stopped=
  local -a command arguments=("$@")
  launcher
  command+=("${TUTTI:-$tutti_root/build/release/jobs/tutti}" "${arguments[@]}")
  left=$(seconds_left || true)
  if [[ -n $left && " $* " != *" --max-time"* ]]; then
    command+=(--max-time "$(as_time $((left > 240 ? left - 60 : left * 3 / 4)))")
  fi

  TUTTI_SUBMITTED=$(submitted || true) # for `tutti goodput`: the wait in the queue
  export TUTTI_SUBMITTED

  trap 'stopped=1; [[ -z ${child:-} ]] || kill -s USR2 "$child" 2>/dev/null || true' USR1 USR2 TERM
  say "job $SLURM_JOB_ID, attempt $((${SLURM_RESTART_COUNT:-0} + 1)): ${command[*]}"
  "${command[@]}" </dev/null &
  child=$!
  code=0
  wait "$child" || code=$?
  # `wait` also returns, with a code above 128, when a trap has run: then it is asked again.
  while ((code > 128)) && [[ -n $stopped ]]; do
    again=0
    wait "$child" || again=$?
    ((again != 127)) || break # no such child any more: the code is its own
    code=$again
    kill -0 "$child" 2>/dev/null || break
  done
  trap - USR1 USR2 TERM
  say "exit code $code"
  ((code != 75)) || requeue
  exit "$code"
}
