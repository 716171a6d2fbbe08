# shellcheck shell=bash
# A recovery that an operator begins, and what hooks itself into it. It stays under way: the machine has no API server that
# could come back. The package is upgraded in the middle of it.

recovery_mode() { on_machine rekindle recovery-mode status -o json; }
under_way() { recovery_mode | jq -re '.running.id'; }
goes_on() { [[ "$(under_way)" == "$RECOVERY" ]]; }
hook_says() { [[ "$(on_machine cat /var/lib/hook | tr '\n' ' ')" == "$1 " ]]; }
etcd_is_missed() { recovery_mode | jq -e '.losses | map(.loss) | index("etcd-quorum")'; }
status_says_recovering() { on_machine systemctl --no-pager status rekindle.service | grep -E '^ *Status: "recovering: '; }
begin_recovery() { on_machine sh -c 'nohup rekindle recovery-mode enter --yes >/root/enter.txt 2>&1 </dev/null &'; }

check "nothing is recovered, so no hook runs" away /var/lib/hook
on_machine systemctl stop etcd
given 60 "the daemon misses etcd" etcd_is_missed
begin_recovery
promise 60 "a recovery is under way" under_way
RECOVERY=$(under_way) || RECOVERY=none
promise 20 "rekindle-recovery.target is active" unit_is rekindle-recovery.target active
promise 20 "… and what is hooked into it has been started" hook_says began
promise 20 "systemctl status says that it recovers" status_says_recovering
promise 60 "etcd's unit was started again by it" unit_is etcd.service active

before=$(pid)
begin=$SECONDS
check "the package is upgraded in the middle of it" install_package "$NEW"
note "$((SECONDS - begin)) s"
check "it is the new version" version_is "$NEXT"
check "another process runs" another_pid "$before"
promise 30 "the same recovery is gone on with" goes_on
check "rekindle-recovery.target was never stopped" hook_says began
check "the checkpoint's pod goes on" web_goes_on

check "the operator ends it" on_machine rekindle recovery-mode exit
promise 60 "rekindle-recovery.target is not active any more" unit_is rekindle-recovery.target inactive
check "… and what is hooked into it has been stopped" hook_says 'began ended'
check "the journal tells the recovery by its id" journal_field "REKINDLE_RECOVERY=$RECOVERY" '.MESSAGE | length > 0'
