# shellcheck shell=bash
# Running scenarios one after another, each in a process of its own. The caller has a function `finish` that takes away what
# they share, and says:
#
#   LONG               the long scenarios, those with a line "# long: WHY", instead of all others
#   LONG_STAGE         the stage of tests/run that runs those
#   SCENARIO_SECONDS   no scenario may hang the whole run: beyond this (twice this for a long one), something is stuck that
#                      no deadline of its own has caught

CHILD=''
PASSED=0 FAILED=0 RESULTS=()

# bash handles a signal only between commands, so the scenario runs beside it and is told to end (and cleans up) too.
end_child() {
    [[ -z "$CHILD" ]] || { kill -TERM "$CHILD" 2>/dev/null; wait "$CHILD"; }
    exit 130
}
trap finish EXIT
trap end_child INT TERM HUP

# wanted NAME PREFIX...   no prefix: every one is
wanted() {
    local name=$1 prefix
    shift
    (($# > 0)) || return 0
    for prefix in "$@"; do [[ "$name" != "$prefix"* ]] || return 0; done
    return 1
}

# Every run takes 90 minutes at most, with all that is built before: what is left out is said.
is_long() { grep -q '^# long: ' "$1"; }
left_out() {
    if is_long "$1"; then [[ -z "$LONG" ]]; else [[ -n "$LONG" ]]; fi
}

# run_scenario FILE [NAME...]   where its name begins with a NAME; without any, where it is in this kind of run
run_scenario() {
    local file=$1 name=${1##*/} begin=$SECONDS seconds=$SCENARIO_SECONDS result
    shift
    if [[ ! -x "$file" ]] || ! wanted "$name" "$@"; then return 0; fi
    if (($# == 0)) && left_out "$file"; then
        [[ -n "$LONG" ]] || echo "left to tests/run $LONG_STAGE: $name ($(sed -n 's/^# long: //p' "$file"))"
        return 0
    fi
    ! is_long "$file" || seconds=$((2 * seconds))
    timeout --kill-after=60 "${LAB_SCENARIO_SECONDS:-$seconds}" "$file" </dev/null 2>&1 &
    CHILD=$!
    if wait "$CHILD"; then
        result=passed PASSED=$((PASSED + 1))
    else
        result=FAILED FAILED=$((FAILED + 1))
    fi
    CHILD=''
    RESULTS+=("$(printf '%-7s %5d s  %s' "$result" $((SECONDS - begin)) "$name")")
    echo "${RESULTS[-1]}"
    echo
}

# The end of the run: what came of each, a line of the caller, and the verdict.
tell_results() {
    ((${#RESULTS[@]} == 0)) || printf '%s\n' "${RESULTS[@]}"
    (($# == 0)) || echo "$*"
    echo "$PASSED passed, $FAILED failed"
    ((PASSED > 0 && FAILED == 0))
}
