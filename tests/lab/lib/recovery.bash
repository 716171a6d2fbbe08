# shellcheck shell=bash
# What the scenarios of recovery mode share: a daemon that watches over the whole, a backup, a client that counts, the
# faults, and what the daemon says of it. Needs scenario.bash. The cluster's etcd is a pod (LAB_ETCD=pod).

LOST_AFTER_SECONDS=10
RECOVERY_LOG="$LAB_DIR/recovery.log"
SEQUENCE_LOG="$LAB_DIR/sequence.log"
RECOVERY_WATCHER='' SEQUENCE_WRITER=''
DETECTIONS=() APIS=() RECOVERIES=()

# recovery FILTER   of what `status` says of recovery mode; also the exit code, by jq -e
recovery() { rekindle_status | jq -er ".recovery | $1"; }
condition_is() { [[ " $* " == *" $(recovery .condition) "* ]]; }
last_id() { recovery '.last.id // "none"'; }
is_running() { recovery '.running != null'; }

# given_recovery_daemon [KEY=VALUE...]
given_recovery_daemon() {
    given_daemon "$@"
    given 240 "the daemon calls the control plane healthy (rekindle status)" condition_is healthy
    given 60 "its last recovery is known" last_id
    LAST_BEFORE=$(last_id)
}

# given_backup   a verified backup of now; what was acknowledged before BACKUP_AT is in it
given_backup() {
    local out="$LAB_DIR/backup.json"
    BACKUP_AT=$(now_ms)
    rekindle_in_node backup now -o json >"$out" 2>>"$LAB_DIR/logs/backup.log" </dev/null || {
        tail -5 "$LAB_DIR/logs/backup.log"
        given 0 "a backup is taken" false
    }
    BACKUP=$(jq -r .id "$out")
    given 240 "the backup $BACKUP is verified" rekindle_in_node backup verify "$BACKUP"
}

# A client that makes numbered objects, and one that asks for an object all the time; both outside of the node's cgroup.
sequence_start() {
    rm -f "$SEQUENCE_LOG"
    "$LAB_SCRIPTS/sequence" "$LAB_DIR/env.sh" write "$SEQUENCE_LOG" &
    SEQUENCE_WRITER=$!
    given 120 "a client's objects are acknowledged" sequence_grows 20
}
sequence_grows() { (($(wc -l <"$SEQUENCE_LOG") > $1)); }
# sequence_more N   at least N more are acknowledged from now on
sequence_more() { given 180 "$1 more objects are acknowledged" sequence_grows $(($(wc -l <"$SEQUENCE_LOG") + $1)); }
sequence_stop() {
    [[ -n "$SEQUENCE_WRITER" ]] || return 0
    kill "$SEQUENCE_WRITER" 2>/dev/null
    wait "$SEQUENCE_WRITER" 2>/dev/null || true
    SEQUENCE_WRITER=''
}

# sequence_kept UNTIL_MS WHAT   a check: all that the source of the recovery held is there again
sequence_kept() {
    local found
    check "$2: every object acknowledged before is there" sequence_verify "$1"
    note "$(jq -r '"\(.promised) promised, \(.missing_count) missing; of \(.later) later ones \(.later_kept) are there too"' "$LAB_DIR/sequence.json")"
    "$LAB_SCRIPTS/sequence" "$LAB_DIR/env.sh" clear "$SEQUENCE_LOG" || note "the objects could not be cleared away"
}
sequence_verify() { "$LAB_SCRIPTS/sequence" "$LAB_DIR/env.sh" verify "$SEQUENCE_LOG" "$1" >"$LAB_DIR/sequence.json"; }

# One line for each thing that the daemon says anew: EPOCH_MS CONDITION RUNG PHASE.
recovery_watch_start() {
    local now seen=''
    rm -f "$RECOVERY_LOG"
    (
        set +e
        while sleep 0.1; do
            now=$(rekindle_status 2>/dev/null | jq -r '.recovery | "\(.condition) \(.running.rung // "-") \(.running.phase // "-")"')
            now=${now:-unreachable - -}
            [[ "$now" != "$seen" ]] || continue
            seen=$now
            echo "$(now_ms) $now"
        done
    ) </dev/null >"$RECOVERY_LOG" 2>/dev/null &
    RECOVERY_WATCHER=$!
}
recovery_watch_stop() {
    [[ -z "$RECOVERY_WATCHER" ]] || kill "$RECOVERY_WATCHER" 2>/dev/null
    RECOVERY_WATCHER=''
}
# Runs however the scenario ends, while the node's logs are still there.
# shellcheck disable=SC2317
recovery_end() {
    sequence_stop
    recovery_watch_stop
    ((FAILED == 0)) || {
        mkdir -p "$LAB_RESULTS/$SCENARIO-recovery"
        cp -r "$RECOVERY_LOG" "$SEQUENCE_LOG" "$LAB_DIR/sequence.json" "$LAB_REKINDLE_STATE_DIR/recovery" "$LAB_RESULTS/$SCENARIO-recovery/" 2>/dev/null
        rekindle_in_node recovery-mode report >"$LAB_RESULTS/$SCENARIO-recovery/report.txt" 2>&1
        echo "  recovery: $LAB_RESULTS/$SCENARIO-recovery"
    }
}

# when_seen WORDS FROM_MS   the first moment since then at which the daemon's condition was one of WORDS
when_seen() {
    awk -v words=" $1 " -v from="$2" '$1 >= from && index(words, " " $2 " ") {print $1; found = 1; exit} END {exit !found}' "$RECOVERY_LOG"
}
was_seen() { when_seen "$@" >/dev/null; }

# first_failure FROM_MS   when the API server first did not answer after that, as the measuring client saw it
first_failure() { awk -v from="$1" '$1 >= from && $2 == "fail" {print $1; found = 1; exit} END {exit !found}' "$WATCH_LOG"; }

# ended_as OUTCOME   a recovery has ended so since given_recovery_daemon, and none is under way
ended_as() {
    recovery ".running == null and .last.id != \"$LAST_BEFORE\" and .last.id != null and (.last.outcome | tostring | startswith(\"$1\"))"
}
# They are Ready now: by a look at the API since the fault, not by what it remembers.
is_back() { { is_running || ended_as recovered; } && first_ok "$(when_seen "lost recovering" "$FAULT_AT")" && parents_ready && components_work; }
components_work() { lease_renewed kube-scheduler && lease_renewed kube-controller-manager; }
lease_renewed() { lease_fresher_than "$1" "$(when_seen "lost recovering" "$FAULT_AT")"; }
# lease_fresher_than COMPONENT EPOCH_MS   it renews its lease only while it works
lease_fresher_than() {
    local renewed
    renewed=$(api GET "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/$1" | jq -r .spec.renewTime)
    (($(date -d "$renewed" +%s%3N) > $2))
}
recovered() { ended_as recovered && parents_ready && condition_is healthy; }

# --- faults -----------------------------------------------------------------------------------------------------------

# kill_component NAME [SIGNAL]   the processes of this static pod's containers; the kubelet starts them again
kill_component() {
    local pid ids
    ids=" $(running_containers "^$1-$LAB_NODE_NAME\$" | tr '\n' ' ') "
    for pid in $(ctr_k8s tasks ls | awk -v ids="$ids" 'index(ids, " " $1 " ") {print $2}'); do kill "-${2-KILL}" "$pid" 2>/dev/null || true; done
}
kill_etcd() { kill_component etcd; }
# All of the node's containers at once; the kubelet and its runtime live.
kill_containers() {
    local pid
    for pid in $(ctr_k8s tasks ls | awk '$3 == "RUNNING" {print $2}'); do kill -KILL "$pid" 2>/dev/null || true; done
}
# A disk that lost the directory, and the member's death of it. What the kubelet then starts is a new, empty member.
lose_etcd_data() {
    rm -rf "$LAB_ETCD_DATA"
    kill_etcd
}
# meta OFFSET FILE   a figure of both of the database's pages of facts. Source: bbolt 1.3, `type meta struct`.
meta() { od -An -v -t u8 -j "$1" -N 8 "$2"; od -An -v -t u8 -j "$((4096 + $1))" -N 8 "$2"; }
# overwrite_middle DATABASE   the middle half of the pages that are written at all (the file grows by 16 MB ahead of them), and
# the roots, so that no copy of them can be opened
overwrite_middle() {
    local page pages
    pages=$(meta 56 "$1" | sort -n | tail -1)
    dd if=/dev/urandom of="$1" bs=4096 seek=$((pages / 4)) count=$((pages / 2 + 1)) conv=notrunc status=none
    for page in $(meta 32 "$1"); do dd if=/dev/urandom of="$1" bs=4096 seek="$page" count=1 conv=notrunc status=none; done
}
# corrupt_etcd [wal]   the database under the member, and its log too where that is asked for; then the member dies of it. It
# stands still meanwhile: what it wrote afterwards could mend it.
corrupt_etcd() {
    local file
    kill_component etcd STOP
    overwrite_middle "$LAB_ETCD_DATA/member/snap/db"
    if [[ "${1-}" == wal ]]; then
        # A log is as long as it may grow (64 MB); what is written of it stands at its beginning.
        for file in "$LAB_ETCD_DATA"/member/wal/*.wal; do dd if=/dev/urandom of="$file" bs=4096 seek=4 count=64 conv=notrunc status=none; done
    fi
    kill_etcd
}

# good_copy_kept NAME   the static manifest as it stands now is kept as a good one
good_copy_kept() { test -e "$LAB_REKINDLE_STATE_DIR/static-pods/copies/$1/$(sha256sum "$LAB_MANIFEST_DIR/$1" | cut -d' ' -f1).json"; }

# nothing_done_for SECONDS [COMMAND...]   no recovery begins or has ended meanwhile, and COMMAND holds all the time
nothing_done_for() {
    local end=$((SECONDS + $1)) last answers=0
    shift
    while ((SECONDS < end)); do
        # A daemon that does not answer in time says nothing; one that never does has not shown anything.
        if last=$(last_id); then
            [[ "$last" == "$LAST_BEFORE" ]] || return 1
            answers=$((answers + 1))
        fi
        if is_running >/dev/null || { (($#)) && ! "$@"; }; then return 1; fi
        sleep 1
    done
    ((answers > 0))
}

# --- one round, measured ----------------------------------------------------------------------------------------------

# Some recovery since round_begins did: the last one may have found something else to do.
restored_from_backup() {
    jq -es --arg before "${LAST_BEFORE/#none/}" \
        'any(.[].body; .id > $before and any(.phases[]; .what | startswith("restoring etcd from backup ")))' \
        "$LAB_DIR"/rekindle/recovery/records/*.json >/dev/null
}

# round_begins   writers and watchers, a backup in the middle, and more after it
round_begins() {
    watch_stop
    recovery_watch_stop
    watch_start
    recovery_watch_start
    sequence_start
    given_backup
    sequence_more 20
    LAST_BEFORE=$(last_id)
}

# fault COMMAND...   what is acknowledged before FAULT_AT was there when it happened
fault() {
    FAULT_AT=$(now_ms)
    "$@"
    sequence_stop
}

# round_recovers SECONDS WHAT   a check; then what it took
round_recovers() {
    local back detected
    # The figure is until everything serves; what is stale is looked at twice afterwards, 45 s apart.
    check "$2: an API server and all three components" wait_for "$1" "$2: all three Ready" is_back
    back=$(now_ms)
    check "$2" wait_for "$1" "$2" recovered
    detected=$(when_seen "lost recovering" "$FAULT_AT") || detected=$back
    DETECTIONS+=($((detected - FAULT_AT)))
    RECOVERIES+=($((back - FAULT_AT)))
    APIS+=($(($(first_ok "$detected" || echo "$back") - FAULT_AT)))
    note "detected after ${DETECTIONS[-1]} ms, an API server answers after ${APIS[-1]} ms, everything is back after ${RECOVERIES[-1]} ms"
    note "$(recovery '.last | "\(.rung): \(.outcome | tostring), \(.took_seconds) s, data lost: \(.lost_seconds // "not known") s"' || true)"
    note "report: $(report_page)"
}
report_page() { echo "$LAB_REKINDLE_STATE_DIR/recovery/pages/$(last_id).html"; }

list() { local IFS=,; echo "[$*]"; }
worst() { sort -n | tail -1; }

# figures GOAL_SECONDS   of all rounds; the benchmark says whether the goal is met, a scenario fails at six times of it: a
# machine that compiles beside it moves every figure here
figures() {
    local goal=$(($1 * 1000)) median worst verdict=met
    median=$(printf '%s\n' "${RECOVERIES[@]}" | median)
    worst=$(printf '%s\n' "${RECOVERIES[@]}" | worst)
    ((worst <= goal)) || verdict=MISSED
    jq -n --argjson rounds "${#RECOVERIES[@]}" --argjson goal "$goal" --argjson detection "$(list "${DETECTIONS[@]}")" \
        --argjson api "$(list "${APIS[@]}")" --argjson recovery "$(list "${RECOVERIES[@]}")" --argjson median "$median" --argjson worst "$worst" \
        '{rounds: $rounds, goal_ms: $goal, detection_ms: $detection, api_ms: $api, recovery_ms: $recovery,
          recovery_median_ms: $median, recovery_worst_ms: $worst}' >"$LAB_RESULTS/figures/$SCENARIO.json"
    note "recovery: median $median ms, worst $worst ms of ${#RECOVERIES[@]} (goal $goal ms: $verdict)"
    # Beside a test suite a machine of two cores takes several times as long: beyond this something is broken.
    check "the worst is within six times the goal" at_most "$worst" $((6 * goal * ${LAB_SLOW:-1}))
}
