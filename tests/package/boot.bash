# shellcheck shell=bash
# shellcheck disable=SC2034
# The installation, a checkpoint that is activated by our own engine, and a boot with etcd and a kubelet as units.
# Gives TASKS and CHECKPOINT: what must stay as it is.

journal_field() { # MATCH JQ-CONDITION
    on_machine journalctl --no-pager -o json "$1" | jq -se "map(select($2)) | length > 0"
}
status_is_told() { on_machine systemctl --no-pager status rekindle.service | grep -E '^ *Status: ".*[a-z]{3,} .*"$'; }
# Seconds that a unit took in this boot, as systemd-analyze tells it (`1min 2.345s`, `870ms`, `12us`).
took_ms() {
    on_machine systemd-analyze blame --no-pager | awk -v unit="$1" '$NF == unit {
        for (i = 1; i < NF; i++) {
            if ($i ~ /min$/) total += 60000 * $i; else if ($i ~ /ms$/) total += $i
            else if ($i ~ /us$/) total += $i / 1000; else total += 1000 * $i
        }
        print int(total); found = 1
    } END {exit !found}'
}
chain_of() { on_machine systemd-analyze critical-chain --no-pager "$1"; }
no_unit_of_ours_before() { # UNIT
    local all
    all=$(on_machine systemctl list-dependencies --no-pager --plain --after "$1") || return 1
    [[ -n "$all" ]] && ! grep -E 'rekindle[a-z-]*\.(service|socket|target)' <<<"$all"
}
kubelet_and_etcd_work() {
    unit_is kubelet.service active && unit_is etcd.service active &&
        on_machine sh -c 'echo | busybox nc -w 1 127.0.0.1 2379 && echo | busybox nc -w 1 127.0.0.1 10255'
}
put_key() {
    on_machine sh -c 'cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl --cacert ca.crt --cert healthcheck-client.crt \
        --key healthcheck-client.key put /registry/lab value'
}
comes_after() { [[ " $(show After) " == *" $1 "* ]]; }

begin=$SECONDS
system down
system boot
keep_documentation
give_package "$OLD"
give_package "$NEW"
note "a machine has booted: $(on_machine systemctl --version | head -n1), $((SECONDS - begin)) s"

begin=$SECONDS
check "apt installs it" install_package "$OLD"
note "$((SECONDS - begin)) s"
check "every file is there as it came" files_are_whole
check "the service runs and has told systemd that it is ready" unit_is rekindle.service active
check "its socket is active" unit_is rekindle.socket active
check "both are enabled, by the preset" bash -c "[[ '$(on_machine systemctl is-enabled rekindle.service rekindle.socket | tr '\n' ' ')' == 'enabled enabled ' ]]"
check "the target of recovery mode is there, and not active" unit_is rekindle-recovery.target inactive
check "the readers' group is there" on_machine getent group rekindle
check "its state is root's alone" test "$(on_machine stat -c '%a %U' "$STATE")" = "700 root"
check "the configuration is a configuration file of the package" on_machine sh -c "dpkg-query -W -f '\${Conffiles}' rekindle | grep -q ' /etc/rekindle/config.toml '"
check "the configuration is accepted" on_machine rekindle check-config
check "rekindle status answers" on_machine rekindle status
check "the sandbox in force is rated at most 2.5" on_machine systemd-analyze security --threshold=25 --no-pager rekindle.service

give_units
give_checkpoint
on_machine sync
note "power cut; the machine boots with a kubelet and etcd as units"
# What else runs on this machine takes its time too: the first of three boots that is quick enough counts.
for round in 1 2 3; do
    begin=$SECONDS
    system power-cut
    system boot
    own=$(took_ms rekindle.service) || own=never
    note "boot $round: $((SECONDS - begin)) s, of it from the daemon's start to ready $own ms"
    ! [[ "$own" =~ ^[0-9]+$ ]] || ((own > 1000)) || break
done
check "from its start to ready it takes at most 1 s of its own ($own ms)" test "$own" -le 1000
note "$(on_machine systemd-analyze time --no-pager | head -n1)"
given 60 "the kubelet's and etcd's units are active and stay so" kubelet_and_etcd_work
check "etcd takes a key, so that there is something to back up" put_key
chain_of kubelet.service >"$LAB_DIR/logs/kubelet-chain.txt"
check "the critical chain of the kubelet has no unit of ours" bash -c "grep -q kubelet.service '$LAB_DIR/logs/kubelet-chain.txt' && ! grep rekindle '$LAB_DIR/logs/kubelet-chain.txt' >&2"
for unit in kubelet etcd containerd network; do
    [[ "$unit" == network ]] && unit=network-online.target || unit+=.service
    check "$unit waits for nothing of ours" no_unit_of_ours_before "$unit"
done
check "the daemon comes after containerd" comes_after containerd.service
for unit in kubelet.service etcd.service network-online.target; do
    check "… and does not wait for $unit, which may be what it has to rescue" bash -c "[[ ' $(show After) ' != *' $unit '* ]]"
done

promise 60 "the checkpoint runs by our own engine, verified" web_is active
TASKS=$(tasks)
CHECKPOINT=$(checkpoint_sum)
check "containerd runs its two containers" test "$(wc -l <<<"$TASKS")" = 2
check "it answers with its stored Secret" web_goes_on

check "systemctl status says in words how it stands" status_is_told
note "$(status_is_told | sed 's/^ *//')"
check "the journal has the daemon's actions as fields" journal_field REKINDLE_ACTION=start-engine-pod \
    ".REKINDLE_CHECKPOINT == \"$WEB\" and .PRIORITY == \"6\" and .SYSLOG_IDENTIFIER == \"rekindle\" and ._SYSTEMD_UNIT == \"rekindle.service\""
check "… with the line that people read as their message" journal_field REKINDLE_EVENT=done '.MESSAGE | startswith("done action=\"")'
check "… and where in the source they are from" journal_field REKINDLE_ACTION=start-engine-pod '.CODE_FILE | startswith("src/")'
