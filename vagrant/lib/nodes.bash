# shellcheck shell=bash
# The machines of the lab of several masters: their names and addresses, and which back end they come from.
#
#   NODES_BACKEND   nspawn (containers of the image's directory tree, as root, in seconds) or vagrant (virtual machines)
#   MASTERS         names of the masters (default "n1 n2 n3"), WORKER a further machine (default w1): of Vagrant a worker,
#                   and in both the fresh machine that scenario 08 restores a backup on
#
# A back end is a file lib/BACKEND.bash with these functions. NODE is a name from above; each of them returns when it is
# done, may be repeated, and fails with the reason on stderr:
#
#   nodes_up [NODE...]      these machines (default: the masters) are there, booted, and `on` reaches them; made where they
#                           are not there, else left as they are
#   nodes_down              all of them away, and everything that was made for them
#   on NODE COMMAND...      runs COMMAND as root, stdin, stdout, stderr and the exit code passed through. Not through a
#                           shell: each word arrives as it is
#   power_cut NODE          the power goes: nothing is shut down, the disk stays
#   boot NODE               the power is back; returns when systemd has started everything (or given it up)
#   reboot NODE             an orderly reboot; returns as boot does
#   cut NODE, heal NODE     its network cable is out, and in again; `on` may not reach it meanwhile
#   freeze NODE, thaw NODE  it stands still, and goes on; `on` does not reach it meanwhile
#   outside COMMAND...      runs COMMAND on this machine, in a network that reaches the nodes' addresses
#   fresh NODE              the machine as its image is, nothing of it kept, booted
#   nodes_logs DIRECTORY    what the back end itself knows of the machines (consoles) is copied there
#   by_nodes_clock ARG...   by which the nodes' seconds are counted: where it is not this machine's, the calling script begins
#                           anew with these arguments, and goes by it
#   blame_is_real           whether times of a boot say something: no on emulated machines

NODES_BACKEND="${NODES_BACKEND:-nspawn}"
LAB_NODES="${LAB_NODES:-nodes}"
LAB_SLOW="${LAB_SLOW:-1}"
# What is waited for is asked of several machines at once: that costs more than a second's patience.
LAB_PAUSE="${LAB_PAUSE:-1}"
# How many seconds of this machine one of the nodes' lasts.
LAB_TIME=1
NODES_DIR="$LAB_ROOT/$LAB_NODES"
read -ra MASTERS <<<"${MASTERS:-n1 n2 n3}"
WORKER="${WORKER:-w1}"
NODES_NETWORK="${NODES_NETWORK:-10.77.0}"
# The kubelets' name for whichever API server answers.
CONTROL_PLANE=control-plane.lab

# address NODE   masters n1, n2, n3 are .11, .12, .13; the worker .21
address() {
    case "$1" in
        n[1-9]) echo "$NODES_NETWORK.1${1#n}" ;;
        w[1-9]) echo "$NODES_NETWORK.2${1#w}" ;;
        *) die "no node $1: masters are n1 to n9, workers w1 to w9" ;;
    esac
}

# others NODE   the other masters
others() {
    local node
    for node in "${MASTERS[@]}"; do [[ "$node" == "$1" ]] || echo "$node"; done
}

# on_all COMMAND...   COMMAND on every master, side by side; fails where one failed
on_all() { each_of "${MASTERS[*]}" on "$@"; }

# each_of "NODE..." FUNCTION ARG...   FUNCTION NODE ARG... for each of them, side by side
each_of() {
    local nodes node pids=() code=0 pid function=$2
    read -ra nodes <<<"$1"
    shift 2
    for node in "${nodes[@]}"; do
        "$function" "$node" "$@" </dev/null &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || code=1; done
    return "$code"
}

[[ -e "$VAGRANT_DIR/lib/$NODES_BACKEND.bash" ]] || die "no back end $NODES_BACKEND: there is no $VAGRANT_DIR/lib/$NODES_BACKEND.bash"
# shellcheck disable=SC1090
. "$VAGRANT_DIR/lib/$NODES_BACKEND.bash"
# Some are names of programs, too: the one of this machine shall not be run instead.
for part in nodes_up nodes_down on power_cut boot reboot cut heal freeze thaw outside fresh nodes_logs by_nodes_clock blame_is_real; do
    declare -F "$part" >/dev/null || die "the back end $NODES_BACKEND has no $part"
done
