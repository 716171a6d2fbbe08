# shellcheck shell=bash
# A daemon that is killed -9 wherever it has come, and started again by a keeper. Needs recovery.bash.

KILLER='' KILLED_AT="$LAB_DIR/killed-at"

# Where it is: the step of the recovery, and the state of each checkpoint. Figures in the text would make every moment
# another place.
PLACES='(if .recovery.running then "\(.recovery.running.phase): \(.recovery.running.waits_for)" else empty end),
    (.checkpoints[]? | select(.state != "inactive") | "\(.id | split(".") | last) \(.state)") | gsub("[0-9]+"; "N")'
whereabouts() { rekindle_status 2>/dev/null | jq -er "$PLACES"; }
# kill_at_new_place ANSWER   of `GET /v1/status`
kill_at_new_place() {
    local now
    while read -r now; do
        [[ -n "$now" ]] || continue
        ! grep -qxF -- "$now" "$KILLED_AT" || continue
        echo "$now" >>"$KILLED_AT"
        kill -KILL "$(recorded rekindle)" 2>/dev/null
        return 0
    done < <(jq -r "$PLACES" <<<"$1")
    return 1
}

# killer_start   kills once at each place, from now on: beside the scenario, whose own looks take their time on a busy
# machine. Begun before the fault, it misses nothing of what is done about it; it is told at once when something changes.
killer_start() {
    : >"$KILLED_AT"
    (
        set +e
        generation=0
        while true; do
            answer=$(curl -sf --max-time 10 --unix-socket "$LAB_REKINDLE_SOCKET" "http://localhost/v1/status?after=$generation&wait_seconds=5")
            generation=$(jq -r .generation <<<"$answer")
            if [[ -z "$generation" ]] || kill_at_new_place "$answer"; then
                generation=0
                sleep 0.1
            fi
        done
    ) </dev/null >/dev/null 2>&1 &
    KILLER=$!
}
# After this nothing is killed any more.
killer_stop() {
    [[ -n "$KILLER" ]] || return 0
    kill "$KILLER" 2>/dev/null
    wait "$KILLER" 2>/dev/null || true
    KILLER=''
}

# killed_until SECONDS COMMAND...   by a killer of its own, where none was started before
killed_until() {
    local seconds=$1 code=0
    shift
    [[ -n "$KILLER" ]] || killer_start
    wait_for "$seconds" "that, with kills on the way" "$@" || code=1
    killer_stop
    return "$code"
}
# killed_enough LEAST WHAT   a check: the round before was no round without kills
killed_enough() {
    local place times
    while read -r place; do note "killed at: ${place:0:140}"; done <"$KILLED_AT"
    times=$(wc -l <"$KILLED_AT")
    check "$2: it was killed at several places ($times)" test "$times" -ge "$1"
}
# killed_at_random TIMES
killed_at_random() {
    local time
    for ((time = 0; time < $1; time++)); do
        sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
        kill -KILL "$(recorded rekindle)" 2>/dev/null || true
    done
}
