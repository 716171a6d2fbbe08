# shellcheck shell=bash
# The back end vagrant: each machine is a virtual machine of libvirt, made by the Vagrantfile beside this directory.
# Interface: lib/nodes.bash. Needs a libvirt that `virsh` and `vagrant` reach; on a machine without one, call what uses this
# through `tests/vagrant/libvirt exec`.
#
#   REKINDLE_LAB_*   sizes, KVM, box: head of the Vagrantfile
#   LAB_SLOW         how much longer than on a real machine everything may take, by the nodes' clock (under emulation, default
#                    8; 2 where that clock is a slow one)

. "$VAGRANT_DIR/lib/clock.bash"
export LIBVIRT_DEFAULT_URI="${LIBVIRT_DEFAULT_URI:-qemu:///system}"
# The Vagrantfile's addresses are those of lib/nodes.bash.
export REKINDLE_LAB_NETWORK="${REKINDLE_LAB_NETWORK:-$NODES_NETWORK}"

# As lib/machine.rb finds it out for the Vagrantfile.
emulated() {
    case "${REKINDLE_LAB_KVM-}" in
        yes) return 1 ;;
        no) return 0 ;;
        *) ! { [[ -e /dev/kvm ]] && grep -Eqw 'vmx|svm' /proc/cpuinfo; } ;;
    esac
}
# As in lib/machine.rb.
LAB_TIME="${REKINDLE_LAB_TIME:-$((${#MASTERS[@]} > 1 ? 5 : 1))}"
emulated || LAB_TIME=1
! emulated || [[ "$LAB_SLOW" != 1 ]] || LAB_SLOW=$((LAB_TIME > 1 ? 2 : 8))
# A look costs seconds of the machines' processors there: etcdctl and ctr take one each to start.
! emulated || [[ "$LAB_PAUSE" != 1 ]] || LAB_PAUSE=$LAB_SLOW
blame_is_real() { ! emulated; }

KEY="${REKINDLE_LAB_STATE:-$VAGRANT_DIR/.vagrant}/key"
SSH=(-T -i "$KEY" -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
    -o ConnectTimeout=$((5 * LAB_SLOW)) -o ServerAliveInterval=$((2 * LAB_SLOW)) -o ServerAliveCountMax=3
    # A handshake takes a second of an emulated processor.
    -o ControlMaster=auto -o ControlPersist=60)

domain() { echo "rekindle-$1"; }
connection() { echo "$NODES_DIR/ssh-$1"; }

on() {
    local node=$1
    shift
    mkdir -p "$NODES_DIR"
    # The words pass a shell on the other side, which takes the quotes off again.
    ssh "${SSH[@]}" -o ControlPath="$(connection "$node")" "root@$(address "$node")" "$(printf '%q ' "$@")"
}
# What was connected is not any more.
forget() {
    [[ ! -S "$(connection "$1")" ]] || ssh "${SSH[@]}" -o ControlPath="$(connection "$1")" -O exit "root@$(address "$1")" 2>/dev/null || true
    rm -f "$(connection "$1")"
}

# The Vagrantfile would begin the control plane by itself when the last machine is up.
vagrant_plain() { (cd "$VAGRANT_DIR" && REKINDLE_LAB_CONTROL_PLANE=no without_clock vagrant "$@"); }

# The calling script begins anew, by the nodes' clock. Vagrant makes that clock where there is none.
by_nodes_clock() {
    if ((LAB_TIME == 1)) || [[ -n "${FAKETIME-}" ]]; then return 0; fi
    command -v faketime >/dev/null || die "faketime is missing; install the package faketime, or set REKINDLE_LAB_TIME=1"
    virsh list --name | grep "^$(domain '')" >/dev/null || vagrant_plain status </dev/null >&2
    by_clock "${REKINDLE_LAB_STATE:-$VAGRANT_DIR/.vagrant}/clock" "$0" "$@"
}

nodes_up() {
    local node nodes=("$@") todo=()
    (($#)) || nodes=("${MASTERS[@]}")
    mkdir -p "$NODES_DIR"
    for node in "${nodes[@]}"; do
        if reaches "$node"; then continue; fi
        forget "$node"
        todo+=("$node")
    done
    ((${#todo[@]} == 0)) || vagrant_plain up "${todo[@]}" </dev/null >&2 || die "vagrant up ${todo[*]} failed; see above"
    for node in "${nodes[@]}"; do wait_for_boot "$node"; done
}
reaches() { [[ "$(virsh domstate "$(domain "$1")" 2>/dev/null)" == running ]] && on "$1" true </dev/null 2>/dev/null; }
wait_for_boot() { wait_for 120 "systemd of $1 to have started everything (see: virsh console $(domain "$1"))" has_booted "$1"; }
has_booted() {
    local state
    # A failed unit makes it "degraded": started all the same.
    state=$(on "$1" systemctl is-system-running </dev/null) || true
    [[ "$state" == running || "$state" == degraded ]]
}

nodes_down() {
    local socket
    for socket in "$NODES_DIR"/ssh-*; do
        [[ ! -S "$socket" ]] || forget "${socket##*/ssh-}"
    done
    vagrant_plain destroy -f </dev/null >&2
    rm -rf "$NODES_DIR"
}

power_cut() {
    virsh --quiet destroy "$(domain "$1")"
    forget "$1"
}
boot() {
    [[ "$(virsh domstate "$(domain "$1")")" == running ]] || virsh --quiet start "$(domain "$1")"
    forget "$1"
    wait_for_boot "$1"
}

# What asks for it may be ended by it before it has its answer; that nothing happens shows below.
reboot() {
    local before
    before=$(boot_id "$1")
    on "$1" systemctl reboot || true
    wait_for 180 "$1 to have booted again (see: virsh console $(domain "$1"))" has_rebooted "$1" "$before"
    wait_for_boot "$1"
}
boot_id() { on "$1" cat /proc/sys/kernel/random/boot_id </dev/null; }
has_rebooted() { # NODE BEFORE
    local now
    forget "$1"
    now=$(boot_id "$1") && [[ -n "$now" && "$now" != "$2" ]]
}

# The interface in the network of the nodes; the other one is Vagrant's own way in, and leads to no other node.
cable() { virsh domiflist "$(domain "$1")" | awk '$3 == "rekindle-nodes" {print $5}'; }
# The program of that name goes on working.
cut() { if [[ "$1" == [nw][1-9] ]]; then virsh --quiet domif-setlink "$(domain "$1")" "$(cable "$1")" down; else command cut "$@"; fi; }
heal() { virsh --quiet domif-setlink "$(domain "$1")" "$(cable "$1")" up; }

freeze() { [[ "$(virsh domstate "$(domain "$1")")" == paused ]] || virsh --quiet suspend "$(domain "$1")"; }
thaw() { [[ "$(virsh domstate "$(domain "$1")")" == running ]] || virsh --quiet resume "$(domain "$1")"; }

outside() { "$@"; }

fresh() {
    forget "$1"
    vagrant_plain destroy -f "$1" </dev/null >&2
    nodes_up "$1"
}

# What the machines wrote to their serial consoles, where the Vagrantfile was told to keep it.
nodes_logs() { [[ ! -d "${REKINDLE_LAB_CONSOLES-}" ]] || cp "$REKINDLE_LAB_CONSOLES"/*.log "$1/" 2>/dev/null || true; }
