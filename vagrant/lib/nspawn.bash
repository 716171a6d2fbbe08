# shellcheck shell=bash
# The back end nspawn: each machine is a container of systemd-nspawn (tests/lab/system) with a disk, cgroups and a network
# of its own, the networks joined by a bridge. Interface: lib/nodes.bash. Needs root.
#
#   LAB_NODES      prefix of everything that is made (default nodes): two labs do not meet
#   REKINDLE_BIN   the daemon, where there is no image yet

need_root
# shellcheck disable=SC1090
for part in cgroups namespaces sysctls; do . "$LAB_SCRIPTS/lib/$part.bash"; done
. "$VAGRANT_DIR/lib/tree.bash"

BRIDGE="rekindle-lab-$LAB_NODES"

system_of() { # NODE COMMAND...
    local node=$1 address
    shift
    address=$(address "$node")
    NODE="$LAB_NODES-$node" LAB_NODE_NAME="$node" LAB_ADDRESS="$address" LAB_BRIDGE="$BRIDGE" LAB_TREE="$(cat "$NODES_DIR/tree")" \
        "$LAB_SCRIPTS/system" "$@"
}

nodes_up() {
    local node nodes=("$@")
    (($#)) || nodes=("${MASTERS[@]}")
    mkdir -p "$NODES_DIR"
    sysctls_save
    bridge_make
    [[ -s "$NODES_DIR/tree" ]] || {
        image_tree >"$NODES_DIR/tree.new"
        mv "$NODES_DIR/tree.new" "$NODES_DIR/tree"
    }
    each_of "${nodes[*]}" up_one
}
up_one() { system_of "$1" exec true 2>/dev/null || system_of "$1" boot; }

bridge_make() {
    ip netns list | grep -qw "$BRIDGE" || ip netns add "$BRIDGE"
    ip -n "$BRIDGE" link set lo up
    ip -n "$BRIDGE" link show bridge0 >/dev/null 2>&1 || {
        ip -n "$BRIDGE" link add bridge0 type bridge
        ip -n "$BRIDGE" addr add "$NODES_NETWORK.1/24" dev bridge0
        ip -n "$BRIDGE" link set bridge0 up
    }
}

# Whoever is left of an interrupted run goes too, whatever it knew of the nodes.
nodes_down() {
    local dir
    for dir in "$LAB_ROOT/$LAB_NODES"-*/; do
        [[ ! -d "$dir" ]] || down_one "$(basename "$dir")"
    done
    ! ip netns list | grep -qw "$BRIDGE" || ip netns del "$BRIDGE"
    rm -rf "$NODES_DIR"
    # Settings of the machine are put back with the last node of the lab.
    NODE="$LAB_NODES-none" "$LAB_SCRIPTS/node" down
}
down_one() { NODE=$1 "$LAB_SCRIPTS/system" down; }

on() {
    local node=$1
    shift
    NODE="$LAB_NODES-$node" "$LAB_SCRIPTS/system" exec "$@"
}

# Nobody answers for a machine without power: its network would, with "refused".
power_cut() {
    cut "$1"
    system_of "$1" power-cut
}
boot() {
    heal "$1"
    system_of "$1" boot
}
# An orderly one: systemd-nspawn ends with its systemd, as systemd-nspawn@.service expects it to.
reboot() {
    # What asks for it may be ended by it before it has its answer; that nothing happens shows below.
    on "$1" systemctl reboot || true
    wait_for 90 "$1 to shut down (its console is in $LAB_ROOT/$LAB_NODES-$1/logs)" is_off "$1"
    power_cut "$1"
    boot "$1"
}
is_off() { ! on "$1" true; }

# The program of that name goes on working.
cut() { if [[ "$1" == [nw][1-9] ]]; then ip -n "$BRIDGE" link set "$1" down; else command cut "$@"; fi; }
heal() { ip -n "$BRIDGE" link set "$1" up; }

freeze() { freezer "$1" FROZEN 1; }
thaw() { freezer "$1" THAWED 0; }
freezer() { # NODE STATE V2-STATE
    if cgroup_unified; then
        echo "$3" >"/sys/fs/cgroup/rekindle-lab/$LAB_NODES-$1/cgroup.freeze"
    else
        echo "$2" >"/sys/fs/cgroup/freezer/rekindle-lab/$LAB_NODES-$1/freezer.state"
        wait_for 10 "$1 to be $2" grep -q "$2" "/sys/fs/cgroup/freezer/rekindle-lab/$LAB_NODES-$1/freezer.state"
    fi
}

outside() { nsenter --net="/run/netns/$BRIDGE" -- "$@"; }

fresh() {
    down_one "$LAB_NODES-$1"
    nodes_up "$1"
}

nodes_logs() {
    local dir
    for dir in "$LAB_ROOT/$LAB_NODES"-*/; do
        [[ ! -d "$dir/logs" ]] || cp -r "$dir/logs" "$1/console-$(basename "$dir")"
    done
}

by_nodes_clock() { return 0; }
blame_is_real() { true; }
