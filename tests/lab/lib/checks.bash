# shellcheck shell=bash
# How a test says what must hold, counts what did, and ends. Needs common.bash.
#
# Who begins with `scenario_begin` ends with the verdict `N passed, N failed`, whatever happens: a test that ends without having
# checked anything, or in the middle, has failed. It says its name in SCENARIO, where its logs go in LAB_RESULTS, and may have
# these functions, which are called at the end in this order, each in a shell of its own:
#
#   stop_watching      always: what runs beside the test
#   keep_logs          after a failure, while everything is still there
#   scenario_cleanup   always: what this test alone has made or changed
#   take_away          after a failure, and where nobody shares it (LAB_SHARED): what the next test would use

PASSED=0 FAILED=0

note() { printf '    %s\n' "$*"; }

# check WHAT COMMAND...   one promise; the test goes on after a broken one, to show as much as it can. What COMMAND said is
# shown only then.
check() {
    local what=$1 begin=$SECONDS said fd took
    shift
    said=$(mktemp)
    exec {fd}<>"$said"
    rm -f "$said"
    if "$@" >&"$fd" 2>&1; then
        PASSED=$((PASSED + 1))
        said=ok
    else
        FAILED=$((FAILED + 1))
        said=FAILED
    fi
    took=$((SECONDS - begin))
    printf '  %-7s %s%s\n' "$said" "$what" "$( ((took < 2)) || echo " ($took s)")"
    [[ "$said" == ok ]] || tail -n 15 "/proc/self/fd/$fd" | tr '\r' '\n' | tail -n 15 | sed 's/^/    /'
    exec {fd}>&-
}

# promise SECONDS WHAT COMMAND...   a check that may take its time
promise() {
    local seconds=$1 what=$2
    shift 2
    check "$what" wait_for "$seconds" "$what" "$@"
}

# given SECONDS WHAT COMMAND...   a premise: without it the test says nothing, so it ends as failed
given() {
    wait_for "$@" || {
        FAILED=$((FAILED + 1))
        echo "  FAILED  premise: $2"
        exit 1
    }
}

scenario_begin() {
    trap scenario_end EXIT
    trap 'exit 130' INT TERM HUP
    mkdir -p "$LAB_RESULTS"
    echo "$SCENARIO: $1"
}

scenario_end() {
    local code=$?
    trap - EXIT
    set +e
    ((code == 0 || FAILED > 0)) || {
        FAILED=1
        echo "  FAILED  $SCENARIO ended in the middle (exit code $code)"
    }
    ((PASSED + FAILED > 0)) || FAILED=1
    at_the_end stop_watching
    ((FAILED == 0)) || at_the_end keep_logs
    at_the_end scenario_cleanup
    if ((FAILED > 0)) || [[ -z "${LAB_SHARED-}" ]]; then at_the_end take_away; fi
    echo "$PASSED passed, $FAILED failed"
    exit $((FAILED > 0))
}
# Each in a shell of its own: whatever one stumbles over, the others have their turn, and the verdict is said.
at_the_end() { ! declare -F "$1" >/dev/null || ("$1"); }
