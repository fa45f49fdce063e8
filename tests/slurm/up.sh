#!/usr/bin/env bash
# Starts a Slurm with several nodes on this machine, for tests: up.sh DIR [NODES]. Then export SLURM_CONF=DIR/slurm.conf;
# down.sh DIR stops it. Needs Debian's slurmctld, slurmd, slurm-client and munge, and root. No systemd, no cgroups, no
# accounting. EMO_SLURM_CONF holds more lines for slurm.conf.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
nodes=${2:-3}
host=$(hostname -s)
mkdir -p "$dir"/{state,spool,log,run}
chmod 755 "$dir" "$dir/run"

# As many neighbouring ports as there are daemons, none of them in use.
is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for _ in $(seq 50); do
    port=$((20000 + RANDOM % 10000))
    free=yes
    for ((p = port; p <= port + nodes; p++)); do is_free "$p" || free=no; done
    [ $free = yes ] && break
done

dd if=/dev/urandom of="$dir/munge.key" bs=1024 count=1 status=none
chmod 600 "$dir/munge.key"
munged --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munge.seed" --force

{
    cat <<CONF
ClusterName=emo
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CryptoType=crypto/munge
SlurmctldPort=$port
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
SlurmdTimeout=6
SlurmctldTimeout=20
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
RebootProgram=/bin/true
${EMO_SLURM_CONF:-}
CONF
    for ((i = 1; i <= nodes; i++)); do
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$(nproc) RealMemory=4000 State=UNKNOWN"
    done
    echo "PartitionName=all Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP"
} >"$dir/slurm.conf"

export SLURM_CONF="$dir/slurm.conf"
slurmctld -f "$SLURM_CONF" -c
for ((i = 1; i <= nodes; i++)); do slurmd -f "$SLURM_CONF" -N "n$i" -c; done
for _ in $(seq 120); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = "$nodes" ] && exit 0
    sleep 0.25
done
echo "Slurm did not come up; see $dir/log" >&2
tail -n 5 "$dir"/log/* >&2 || true
exit 1
