# shellcheck shell=bash
# How a scenario says what must hold and counts what did. Needs common.bash.

PASSED=0 FAILED=0

note() { printf '    %s\n' "$*"; }

# check WHAT COMMAND...   one promise; the scenario goes on after a broken one, to show as much as it can
check() {
    local what=$1
    shift
    if "$@" >/dev/null; then
        PASSED=$((PASSED + 1))
        echo "  ok      $what"
    else
        FAILED=$((FAILED + 1))
        echo "  FAILED  $what"
        return 0
    fi
}

# promise SECONDS WHAT COMMAND...   a check that may take its time
promise() {
    local seconds=$1 what=$2 begin=$SECONDS
    shift 2
    check "$what" wait_for "$seconds" "$what" "$@"
    note "after $((SECONDS - begin)) s"
}

# given SECONDS WHAT COMMAND...   a premise: without it the scenario says nothing, so it ends as failed
given() {
    wait_for "$@" || {
        FAILED=$((FAILED + 1))
        echo "  FAILED  premise: $2"
        exit 1
    }
}
