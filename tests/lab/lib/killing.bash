# shellcheck shell=bash
# A daemon that is killed -9 wherever it has come, and started again by a keeper. Needs recovery.bash.

declare -A killed_at=()

# Where it is: the step of the recovery, and the state of each checkpoint. Figures in the text would make every moment
# another place.
whereabouts() {
    rekindle_status 2>/dev/null | jq -er '(if .recovery.running then "\(.recovery.running.phase): \(.recovery.running.waits_for)" else empty end),
        (.checkpoints[]? | select(.state != "inactive") | "\(.id | split(".") | last) \(.state)")' | sed 's/[0-9][0-9]*/N/g'
}
kill_at_each_place() {
    local now
    while read -r now; do
        [[ -n "$now" && -z "${killed_at[$now]-}" ]] || continue
        killed_at[$now]=1
        kill -KILL "$(recorded rekindle)" 2>/dev/null || true
        return 0
    done < <(whereabouts || true)
}

# killed_until SECONDS COMMAND...   kills on the way, once at each place
killed_until() {
    local end=$((SECONDS + $1 * ${LAB_SLOW:-1}))
    shift
    killed_at=()
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        kill_at_each_place
        sleep 0.1
    done
}
# killed_enough LEAST WHAT   a check: the round before was no round without kills
killed_enough() {
    local place
    for place in "${!killed_at[@]}"; do note "killed at: ${place:0:140}"; done
    check "$2: it was killed at several places (${#killed_at[@]})" test "${#killed_at[@]}" -ge "$1"
}
# killed_at_random TIMES
killed_at_random() {
    local time
    for ((time = 0; time < $1; time++)); do
        sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
        kill -KILL "$(recorded rekindle)" 2>/dev/null || true
    done
}
