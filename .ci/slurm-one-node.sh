#!/usr/bin/env bash
# A SLURM cluster of this one machine, on the loopback interface, for tests/launch: slurm-one-node.sh start | stop
# Installs Debian's packages where they are missing, which takes root. A machine with a SLURM of its own keeps it.
set -euo pipefail
state=/tmp/segjax-one-node-slurm
mark="for segjax's tests"

start() {
  if sinfo --noheader >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" != 0 ]; then echo "starting SLURM takes root" >&2; return 1; fi
  if [ "$(type -P slurmctld slurmd munged srun | wc -l)" != 4 ]; then
    command -v apt-get >/dev/null || { echo "installing SLURM takes apt-get" >&2; return 1; }
    export DEBIAN_FRONTEND=noninteractive
    timeout 120 apt-get -qq update
    timeout 300 apt-get -qq install --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
  fi
  if [ -e /etc/slurm/slurm.conf ] && ! grep -q "$mark" /etc/slurm/slurm.conf; then
    echo "this machine has a SLURM of its own, which does not run" >&2
    return 1
  fi
  local name
  name=$(hostname -s)
  mkdir -p $state/{controller,node} /etc/slurm /run/munge
  # Four CPUs whatever there are: the tests run several tasks at once and none of them for long.
  cat >/etc/slurm/slurm.conf <<CONF
# $mark
ClusterName=one
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/slurmctld.log
StateSaveLocation=$state/controller
SlurmdPidFile=$state/slurmd.pid
SlurmdLogFile=$state/slurmd.log
SlurmdSpoolDir=$state/node
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
NodeName=$name NodeAddr=127.0.0.1 CPUs=4
PartitionName=all Nodes=$name Default=YES PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=$name PriorityTier=2
CONF
  chown munge: /run/munge
  su --shell /bin/sh --command /usr/sbin/munged munge
  setsid slurmctld </dev/null >/dev/null 2>&1
  setsid slurmd </dev/null >/dev/null 2>&1
  for _ in {1..60}; do
    if sinfo --noheader --states=idle 2>/dev/null | grep -q .; then return; fi
    sleep 0.5
  done
  tail -n 5 $state/*.log >&2
  return 1
}

stop() {
  if [ ! -d $state ]; then return; fi # not started by this
  local file pid
  for file in $state/slurmd.pid $state/slurmctld.pid /run/munge/munged.pid; do
    if ! pid=$(cat "$file" 2>/dev/null) || ! kill "$pid"; then continue; fi
    for _ in {1..50}; do
      if ! kill -0 "$pid" 2>/dev/null; then break; fi
      sleep 0.1
    done
  done
  rm -rf $state
}

"${1:?start or stop}"
