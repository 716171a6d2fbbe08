# shellcheck shell=bash
# Removal, installation after it, purge: what is kept and what is not, and that it is told.

# What cannot be had again: a backup of the etcd here and the key that it is signed with, what `cleanup` moved aside, and
# what an administrator has put among the configuration.
backup_is_there() { on_machine rekindle backup list -o json | jq -e '.backups | map(select(.verified and .verified.failure == null)) | length > 0'; }
keepsakes() {
    on_machine sh -c "cd / && sha256sum .$STATE/backups/*/* .$STATE/backup/signing-key* .$STATE/quarantine/*/list.json ./etc/rekindle/age-identity.txt" 2>/dev/null
}
keepsakes_stay() { [[ "$(keepsakes)" == "$KEEPSAKES" ]]; }
# What somebody else has hooked into the target is theirs.
left() { on_machine find "$@" -name '*rekindle*' ! -path '/etc/rekindle*' ! -name rekindle-recovery.target.wants; }
nothing_is_left() {
    local all
    all=$(left "$@") || return 1
    [[ -z "$all" ]] || {
        echo "$all" >&2
        return 1
    }
}
no_directory_is_left() { away "$STATE" && away /etc/rekindle; }
checkpoints_are_gone() { away "$STATE/checkpoints" && away "$STATE/state.json"; }

given 60 "the daemon has taken a backup of etcd and verified it" backup_is_there
on_machine sh -c "mkdir -p $STATE/quarantine/20260101T000000Z; echo '{}' >$STATE/quarantine/20260101T000000Z/list.json
    echo AGE-SECRET-KEY >/etc/rekindle/age-identity.txt"
KEEPSAKES=$(keepsakes)
check "the backup has its files, its signature and its key ($(wc -l <<<"$KEEPSAKES"))" bash -c "grep -q manifest.sig <<<'$KEEPSAKES' && grep -q signing-key <<<'$KEEPSAKES'"
check "apt removes it" apt_or_show remove --yes rekindle
check "dpkg keeps its configuration" package_is config-files
check "the daemon and its socket are stopped" bash -c "[[ '$(show ActiveState rekindle.service)$(show ActiveState rekindle.socket)' == inactiveinactive ]]"
check "nothing of it is enabled" nothing_is_left /etc/systemd/system
check "it says that the checkpoint goes on running, and by whom" apt_said "$WEB, by containerd"
check "the same containers, and it answers" web_goes_on
check "the checkpoint is whole" checkpoint_is_whole
check "the configuration stays" changed_configuration
check "backups, key and what was moved aside stay" keepsakes_stay

# It was disabled by the removal; now it is as the presets say.
check "apt installs it again" install_package "$OLD"
check "it is enabled" enabled_is rekindle.service enabled
check "… and runs" unit_is rekindle.service active
promise 30 "the pod is taken over and active" web_is active
check "the same containers, and it answers" web_goes_on
check "the configuration is the one from before" changed_configuration

check "apt purges it while the pod runs" apt_or_show purge --yes rekindle
check "dpkg knows nothing of it" package_is none
check "the same containers, and it answers" web_goes_on
check "what belongs to the running pod stays, and it is told" apt_said "checkpoint $WEB stays, because it runs"
check "… whole" checkpoint_is_whole
check "backups, key and what was moved aside stay" keepsakes_stay
check "… which is told too" apt_said 'this stays in /var/lib/rekindle.*backups.*quarantine'
check "the configuration is gone" away /etc/rekindle/config.toml
check "… with its drop-ins" away /etc/rekindle/config.d
check "no file of the package is left" nothing_is_left /usr /etc

note "the machine boots: the pod is gone, and nobody starts it"
system power-cut
system boot
# As where an image is made: nothing may start.
machine_file /usr/sbin/policy-rc.d 0755 <<<$'#!/bin/sh\nexit 101'
check "apt installs it where policy-rc.d forbids that services start" install_package "$OLD"
check "it is enabled" enabled_is rekindle.service enabled
check "… and does not run" unit_is rekindle.service inactive
check "apt purges it while no pod runs" apt_or_show purge --yes rekindle
check "the checkpoints are gone" checkpoints_are_gone
check "backups, key and what was moved aside stay" keepsakes_stay
on_machine rm -rf "$STATE" /etc/rekindle
check "apt installs it on a machine that has nothing of it" install_package "$OLD"
check "apt purges it" apt_or_show purge --yes rekindle
check "nothing at all stays" no_directory_is_left
