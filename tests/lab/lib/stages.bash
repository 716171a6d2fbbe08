# shellcheck shell=bash
# How tests/run runs its stages: each in its own process, timed, into its own log, judged by exit code and by what it ran.

LOGS="${CARGO_TARGET_DIR:-$LAB_REPOSITORY/target}/tests"

# The closing line of a stage that is one check.
one_passed() { echo "1 passed, 0 failed"; }

# How many checks a log tells of: the sum of all lines of Rust's runners, or the last line of our own stages.
count_run() {
    awk '
        /^test result: / {match($0, /[0-9]+ passed/); rust += substr($0, RSTART, RLENGTH); match($0, /[0-9]+ failed/); rust += substr($0, RSTART, RLENGTH)}
        /^ *Summary .* tests? run: / {match($0, /[0-9]+ tests? run/); rust += substr($0, RSTART, RLENGTH)}
        /^[0-9]+ passed, [0-9]+ failed$/ {own = $1 + $3}
        END {print rust + own}' "$1"
}

last_count() { grep -E '^[0-9]+ passed, [0-9]+ failed$|^test result: |^ *Summary ' "$1" | tail -1; }

# While a long stage runs, a line a minute: the reader (and a CI that kills silent jobs) sees that it lives.
run_stage() {
    local name=$1 log="$LOGS/$1.log" begin=$SECONDS runner beat=0 code=0
    printf '%-11s ...\n' "$name"
    # In a process group of its own, so that an interruption reaches all of the stage.
    set -m
    ("stage_$name") >"$log" 2>&1 </dev/null &
    runner=$!
    set +m
    CURRENT=$runner
    while kill -0 "$runner" 2>/dev/null; do
        sleep 0.5
        beat=$((beat + 1))
        ((beat % 120)) || printf '%-11s %5d s  %s\n' "$name" $((SECONDS - begin)) "$(tail -n1 "$log" | cut -c1-100)"
    done
    wait "$runner" || code=$?
    CURRENT=''
    if ((code == 0)) && (($(count_run "$log") == 0)); then
        echo "this stage ran nothing" >>"$log"
        code=1
    fi
    local result=passed
    ((code == 0)) || result=FAILED
    printf '%-11s %5d s  %s  %s\n' "$name" $((SECONDS - begin)) "$result" "$(last_count "$log")" | tee -a "$LOGS/summary.txt"
    ((code == 0)) || {
        echo "---- the end of $log"
        tail -n "${STAGE_TAIL:-60}" "$log"
        echo "----"
    }
    return "$code"
}

# run_together NAME...   at the same time, for what waits more than it computes. Says in BROKEN which failed.
run_together() {
    local name at pids=()
    for name in "$@"; do
        (
            # shellcheck disable=SC2030
            CURRENT=''
            trap '[[ -z "$CURRENT" ]] || { kill -TERM -- "-$CURRENT" 2>/dev/null; wait "$CURRENT"; }; exit 130' TERM
            run_stage "$name"
        ) &
        pids+=($!)
    done
    TOGETHER=("${pids[@]}")
    for at in "${!pids[@]}"; do wait "${pids[at]}" || BROKEN+=("${@:at+1:1}"); done
    TOGETHER=()
}

# An interrupted run ends its stages too, which then clean up after themselves.
interrupted() {
    local pid
    # shellcheck disable=SC2031
    [[ -z "$CURRENT" ]] || { kill -TERM -- "-$CURRENT" 2>/dev/null && wait "$CURRENT"; }
    for pid in ${TOGETHER[@]+"${TOGETHER[@]}"}; do kill -TERM "$pid" 2>/dev/null || true; done
    wait
    exit 130
}

# run_stages NAME...   one after another; those of a word `A+B` together
run_stages() {
    local word names begin=$SECONDS count=0
    mkdir -p "$LOGS"
    : >"$LOGS/summary.txt"
    CURRENT='' TOGETHER=() BROKEN=()
    trap interrupted INT TERM HUP
    for word in "$@"; do
        IFS=+ read -ra names <<<"$word"
        count=$((count + ${#names[@]}))
        if ((${#names[@]} > 1)); then run_together "${names[@]}"; else run_stage "$word" || BROKEN+=("$word"); fi
    done
    cargo_give_back
    printf '\nSummary (logs in %s)\n' "$LOGS"
    cat "$LOGS/summary.txt"
    printf 'total %d s; ' $((SECONDS - begin))
    if ((${#BROKEN[@]})); then
        echo "FAILED: ${BROKEN[*]}"
        return 1
    fi
    echo "all $count stages passed"
}

# check_script FILE   by what its first line says it is
check_script() {
    local file=$1 lines
    lines=$(wc -l <"$file")
    if ((lines > 400)); then
        echo "$file has $lines lines; split it: no file over 400"
        return 1
    fi
    case "$(head -n1 "$file")" in
        '#!/bin/bash'* | '# shellcheck shell=bash'*)
            bash -n "$file" || return 1
            ! command -v shellcheck >/dev/null || shellcheck -x "$file"
            ;;
        '#!/bin/sh'*) sh -n "$file" && { ! command -v shellcheck >/dev/null || shellcheck "$file"; } ;;
        '#!/usr/bin/python3'*) check_python "$file" ;;
        *) [[ "$file" != *.py ]] || check_python "$file" ;;
    esac
}

check_python() { /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$1"; }

keep_node_logs() {
    local node
    for node in "$@"; do
        [[ ! -d "$LAB_ROOT/$node/logs" ]] || { rm -rf "$LOGS/lab/$node" && mkdir -p "$LOGS/lab" && cp -r "$LAB_ROOT/$node/logs" "$LOGS/lab/$node"; }
    done
}
