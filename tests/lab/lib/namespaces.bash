# shellcheck shell=bash
# One network namespace is one node's network: loopback and the node's address, nothing that leaves the machine.
# One mount namespace beside it keeps the kubelet's fixed paths (/var/log/pods, /var/lib/kubelet/device-plugins) and all
# mounts of the node to itself: they vanish with its last process, and two nodes do not meet in them.

netns_make() {
    [[ -e "$LAB_NETNS" ]] || ip netns add "$LAB_NETNS_NAME"
    ip -n "$LAB_NETNS_NAME" link set lo up
    if ! ip -n "$LAB_NETNS_NAME" link show node0 >/dev/null 2>&1; then
        # Both ends stay inside: the kubelet wants an interface with the node's address, and nothing may leave.
        # (A dummy device would do, but not every kernel has the type.) With LAB_BRIDGE the other end is, under the node's
        # name, on the bridge `bridge0` of the network namespace of that name: so several nodes reach each other.
        ip -n "$LAB_NETNS_NAME" link add node0 type veth peer name node0-peer
        ip -n "$LAB_NETNS_NAME" addr add "$LAB_ADDRESS/24" dev node0
        if [[ -n "${LAB_BRIDGE-}" ]]; then
            ip -n "$LAB_NETNS_NAME" link set node0-peer netns "$LAB_BRIDGE" name "$LAB_NODE_NAME"
            ip -n "$LAB_BRIDGE" link set "$LAB_NODE_NAME" master bridge0 up
        else
            ip -n "$LAB_NETNS_NAME" link set node0-peer up
        fi
        ip -n "$LAB_NETNS_NAME" link set node0 up
    fi
}

netns_remove() {
    [[ ! -e "$LAB_NETNS" ]] || ip netns del "$LAB_NETNS_NAME"
}

# Paths that programs of the node have built in, and where they really are.
mountns_binds() {
    echo "/var/log/pods $LAB_DIR/logs/pods"
    echo "/var/log/containers $LAB_DIR/logs/containers"
    echo "/var/lib/kubelet $LAB_DIR/var-lib-kubelet"
}

# The mount points must exist on the host; ours alone are noted, to go with the last node.
mountns_points() {
    local point source
    while read -r point source; do
        mkdir -p "$source"
        [[ -d "$point" ]] || {
            mkdir -p "$point"
            echo "$point" >>"$LAB_ROOT/.made-directories"
        }
    done < <(mountns_binds)
}

# A sleeping process holds the mount namespace; its pid is recorded like a daemon's and dies in a power cut too.
mountns_make() {
    local script='mount --make-rshared /'
    alive holder && return 0
    mountns_points
    while read -r point source; do script+=" && mount --bind $source $point"; done < <(mountns_binds)
    rm -f "$LAB_DIR/run/mountns.ready"
    (
        cgroup_join
        exec setsid nsenter --net="$LAB_NETNS" unshare --mount --propagation private \
            sh -c "$script && touch $LAB_DIR/run/mountns.ready && exec sleep infinity"
    ) >>"$LAB_DIR/logs/holder.log" 2>&1 </dev/null &
    record holder $!
    disown $!
    wait_for 10 "the node's mount namespace (log: $LAB_DIR/logs/holder.log)" test -e "$LAB_DIR/run/mountns.ready"
}

# in_node COMMAND...   replaces the calling (sub)shell by COMMAND in the node's network and mounts
in_node() {
    exec nsenter --net="$LAB_NETNS" --mount="/proc/$(recorded holder)/ns/mnt" --wd=/ -- "$@"
}

host_directories_remove() {
    local point
    [[ -e "$LAB_ROOT/.made-directories" ]] || return 0
    while read -r point; do rmdir "$point" 2>/dev/null || true; done <"$LAB_ROOT/.made-directories"
    rm -f "$LAB_ROOT/.made-directories"
}
