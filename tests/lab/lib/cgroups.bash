# shellcheck shell=bash
# A node's cgroups: everything that runs on the node is below one cgroup in every hierarchy, so that ending the node
# never needs a process's name. Works with cgroup v1 (and hybrid) and with a pure cgroup v2 tree.

cgroup_unified() { [[ -e /sys/fs/cgroup/cgroup.controllers ]]; }

# The mount points of all hierarchies. Hybrid's cgroup2 mount counts: runc makes cgroups there too.
cgroup_hierarchies() {
    if cgroup_unified; then
        echo /sys/fs/cgroup
    else
        awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts | grep '^/sys/fs/cgroup/' | sort -u
    fi
}

# The one hierarchy that is asked who belongs to the node.
cgroup_members_root() {
    if cgroup_unified; then echo "/sys/fs/cgroup/$LAB_CGROUP"; else echo "/sys/fs/cgroup/freezer/$LAB_CGROUP"; fi
}

cgroup_make() {
    local h d part controller file
    for h in $(cgroup_hierarchies); do
        d=$h
        for part in ${LAB_CGROUP//\// } daemons; do
            if cgroup_unified; then
                # A parent hands its controllers down only while it holds no process itself.
                # shellcheck disable=SC2013
                for controller in $(cat "$d/cgroup.controllers"); do
                    echo "+$controller" >"$d/cgroup.subtree_control" 2>/dev/null || true
                done
            fi
            d="$d/$part"
            mkdir -p "$d"
            # A v1 cpuset starts empty and accepts no process until it has processors and memory.
            cgroup_unified && continue
            for file in cpuset.cpus cpuset.mems; do
                [[ ! -e "$d/$file" || -n "$(cat "$d/$file")" ]] || cat "$d/../$file" >"$d/$file"
            done
        done
    done
    cgroup_prefer
}

# What else the machine does shall not decide what is measured here: the node goes first when processors are short.
cgroup_prefer() {
    local d
    for d in "${LAB_CGROUP%%/*}" "$LAB_CGROUP"; do
        if cgroup_unified; then
            echo 10000 >"/sys/fs/cgroup/$d/cpu.weight" 2>/dev/null || true
        else
            echo 262144 >"/sys/fs/cgroup/cpu/$d/cpu.shares" 2>/dev/null || true
        fi
    done
}

# Moves the calling shell; to be called in a subshell that then becomes the daemon.
cgroup_join() {
    local h
    for h in $(cgroup_hierarchies); do echo "$BASHPID" >"$h/$LAB_CGROUP/daemons/cgroup.procs"; done
}

# Every process of the node: its cgroup's, and those of containers whose cgroup path lies elsewhere (an engine other
# than the kubelet may choose its own), found by the pid files that containerd's shims keep.
cgroup_members() {
    local root pidfile pid path
    root=$(cgroup_members_root)
    [[ ! -d "$root" ]] || find "$root" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    for pidfile in "$LAB_DIR"/containerd/state/io.containerd.runtime.v2.task/*/*/init.pid; do
        [[ -e "$pidfile" ]] || continue
        pid=$(cat "$pidfile")
        path=$(cgroup_of_foreign "$pid") || continue
        find "$path" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done
}

# The cgroup of a container outside of the node's tree; fails if the pid is not this node's any more.
cgroup_of_foreign() {
    local root path
    [[ "$(readlink "/proc/$1/ns/net" 2>/dev/null)" == "net:[$(stat -c %i "$LAB_NETNS" 2>/dev/null)]" ]] || return 1
    if cgroup_unified; then
        root=/sys/fs/cgroup path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
    else
        root=/sys/fs/cgroup/freezer path=$(sed -n 's/^[0-9]*:freezer://p' "/proc/$1/cgroup")
    fi
    # The root cgroup would be the whole machine.
    [[ -n "$path" && "$path" != / && "$path" != "/$LAB_CGROUP"* ]] || return 1
    echo "$root$path"
}

# Kills the node's processes as a power cut does: frozen first, so that none acts on the death of another.
cgroup_kill() {
    local freezer round pids foreign=()
    freezer="/sys/fs/cgroup/freezer/$LAB_CGROUP/freezer.state"
    mapfile -t foreign < <(cgroup_foreign_paths)
    [[ ! -e "$freezer" ]] || echo FROZEN >"$freezer" 2>/dev/null || true
    for round in {1..100}; do
        pids=$(cgroup_members | sort -u)
        [[ -n "$pids" ]] || break
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        [[ ! -e "$freezer" ]] || echo THAWED >"$freezer" 2>/dev/null || true
        # A container that was paused is frozen by itself, and dies only when it is thawed.
        find "${freezer%/*}" -mindepth 2 -name freezer.state -exec sh -c 'for f; do echo THAWED >"$f"; done' - {} + 2>/dev/null || true
        sleep 0.05
    done
    # Also where nobody was left to kill: the next boot joins this cgroup.
    [[ ! -e "$freezer" ]] || echo THAWED >"$freezer" 2>/dev/null || true
    [[ -z "$pids" ]] || { say "after $round rounds these processes of $NODE still live: $pids"; return 1; }
    cgroup_remove_trees "${foreign[@]}"
}

# Cgroups that containers of this node made outside of its tree, to be removed with it.
cgroup_foreign_paths() {
    local pidfile
    for pidfile in "$LAB_DIR"/containerd/state/io.containerd.runtime.v2.task/*/*/init.pid; do
        [[ ! -e "$pidfile" ]] || cgroup_of_foreign "$(cat "$pidfile")" || true
    done | sed "s#^/sys/fs/cgroup/freezer/#/#; s#^/sys/fs/cgroup/#/#" | sort -u
}

# cgroup_remove_trees PATH...   paths below a hierarchy's root. A killed process holds its cgroup until it is reaped.
cgroup_remove_trees() {
    local h p try
    for p in "$@"; do
        for h in $(cgroup_hierarchies); do
            for try in {1..50}; do
                [[ -d "$h/$p" ]] || break
                find "$h/$p" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
            done
            [[ ! -d "$h/$p" ]] || say "cgroup $h/$p could not be removed in $try tries; it holds a process still"
        done
    done
}

# Only the pods' cgroups: what a power cut takes, and the next boot makes anew.
cgroup_clear() {
    local h d
    for h in $(cgroup_hierarchies); do
        for d in "$h/$LAB_CGROUP"/*/; do cgroup_remove_trees "${d#"$h/"}"; done
    done
}

cgroup_remove() {
    local h
    cgroup_remove_trees "$LAB_CGROUP"
    # The lab's common parent goes with its last node.
    for h in $(cgroup_hierarchies); do
        [[ ! -d "$h/${LAB_CGROUP%%/*}" ]] || rmdir "$h/${LAB_CGROUP%%/*}" 2>/dev/null || true
    done
}
