# shellcheck shell=bash
# Starting and ending the node's daemons. Each is known by its recorded pid and start time, never by its name.

# The kernel's start time of a process: with the pid, it names one process for ever.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

record() { printf '%s %s\n' "$2" "$(start_time "$2")" >"$LAB_DIR/run/$1.pid"; }

recorded() { cut -d' ' -f1 "$LAB_DIR/run/$1.pid"; }

alive() {
    local pid started
    [[ -e "$LAB_DIR/run/$1.pid" ]] || return 1
    read -r pid started <"$LAB_DIR/run/$1.pid"
    [[ -n "$started" && "$(start_time "$pid")" == "$started" ]] || return 1
    # A zombie that nobody has reaped yet is dead.
    [[ "$(sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f1)" != Z ]]
}

# spawn NAME COMMAND...   starts a daemon of the node; its output goes to logs/NAME.log
spawn() {
    local name=$1
    shift
    if alive "$name"; then
        say "$name runs already on $NODE"
        return 0
    fi
    printf '%s --- start\n' "$(date -u +%FT%T.%3NZ)" >>"$LAB_DIR/logs/$name.log"
    (
        cgroup_join
        in_node setsid "$@"
    ) >>"$LAB_DIR/logs/$name.log" 2>&1 </dev/null &
    record "$name" $!
    # Its death is expected news: the calling shell shall not comment on it.
    disown $!
    now_ms >"$LAB_DIR/run/$name.started"
}

# halt NAME [SIGNAL]   TERM and wait, then KILL; with SIGNAL only that one, and wait for the end
halt() {
    local name=$1 signal=${2-TERM} pid
    if alive "$name"; then
        pid=$(recorded "$name")
        kill "-$signal" "$pid" 2>/dev/null || true
        if ! wait_for 15 "$name to end after SIG$signal" gone "$name"; then
            kill -KILL "$pid" 2>/dev/null || true
            wait_for 10 "$name to end after SIGKILL" gone "$name" || return 1
        fi
    fi
    rm -f "$LAB_DIR/run/$name.pid"
}

gone() { ! alive "$1"; }
