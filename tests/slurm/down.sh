#!/usr/bin/env bash
# Ends what up.sh DIR started, jobs and all.
set -u
dir=$(cd "$1" && pwd)
stop() { for file in "$dir"/run/$1; do [ -s "$file" ] && kill "-$2" "$(cat "$file")" 2>/dev/null; done; }
SLURM_CONF="$dir/slurm.conf" timeout 5 scancel --user="$(id -un)" 2>/dev/null
stop 'slurmd.*.pid' TERM
stop slurmctld.pid TERM
stop munged.pid TERM
sleep 0.5
for daemon in 'slurmd.*.pid' slurmctld.pid munged.pid; do stop "$daemon" KILL; done
# What a job left.
for environment in /proc/[0-9]*/environ; do
    if grep -qsF "SLURM_CONF=$dir/slurm.conf" "$environment" && grep -qs SLURM_JOB_ID "$environment"; then
        pid=${environment#/proc/}
        kill -KILL "${pid%/environ}" 2>/dev/null
    fi
done
exit 0
