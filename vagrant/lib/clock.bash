# shellcheck shell=bash
# The clock of nodes that are too slow for ours: where the Vagrantfile was told so (REKINDLE_LAB_TIME), a second of theirs
# lasts several of ours, for the emulators and for the scripts that wait for them. What is written for a real machine (the 30 s
# in which an API server must have made its objects, a kubelet's round each second) asks that much less of this one.
#
# It is the clock of libfaketime (package faketime). File of the state directory: BEGIN TIMES. At BEGIN, seconds since 1970,
# both clocks showed the same; a second of the nodes lasts TIMES of ours. The Vagrantfile writes it (lib/machine.rb).

# How libfaketime reads what clock_now says, and that times of files are not its business; without it they mean nothing.
export FAKETIME_FMT=%s NO_FAKE_STAT=1

# clock_now FILE   what the nodes' clock shows now, as libfaketime takes it
clock_now() {
    local begin times now
    read -r begin times <"$1"
    now=$(date +%s%3N)
    now=$((begin * 1000 + (now - begin * 1000) / times))
    printf '@%d.%03d x%s\n' $((now / 1000)) $((now % 1000)) "$(awk -v times="$times" 'BEGIN {print 1 / times}')"
}

# by_clock FILE COMMAND...   in the place of this process, COMMAND and all that it starts go by that clock.
# Not the program `timeout`: its seconds are ours.
by_clock() {
    export FAKETIME_DONT_RESET=1
    exec faketime -f "$(clock_now "$1")" "${@:2}"
}

# without_clock COMMAND...   COMMAND goes by this machine's clock
without_clock() { env -u LD_PRELOAD -u FAKETIME -u FAKETIME_SHARED "$@"; }
