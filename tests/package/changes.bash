# shellcheck shell=bash
# Upgrades and downgrades: what an administrator has changed stays so, the pod that runs does not notice.

changed_configuration() { on_machine grep -q '^# ours$' /etc/rekindle/config.toml; }

# changed WHAT PACKAGE VERSION   to another version under a pod that runs
changed() {
    local before
    before=$(pid)
    check "$1" install_package "$2"
    check "it is that version" version_is "$3"
    check "another process runs" another_pid "$before"
    promise 30 "the pod is taken over and active" web_is active
    check "the same containers, and it answers" web_goes_on
    check "the checkpoint is whole" checkpoint_is_whole
    check "the changed configuration stays" changed_configuration
}

on_machine sh -c 'echo "# ours" >>/etc/rekindle/config.toml'
changed "downgraded by one version" "$OLD" "$VERSION"
changed "upgraded again" "$NEW" "$NEXT"

# A mistake that the running daemon has not read yet.
before=$(pid)
on_machine sh -c 'echo "no_such_key = 1" >/etc/rekindle/config.d/mistake.toml'
check "with a mistake in the configuration it is downgraded all the same" install_package "$OLD"
check "… and says that the daemon was not started anew" apt_said 'was not started anew'
check "… which runs on as it was" same_pid "$before"
on_machine rm /etc/rekindle/config.d/mistake.toml

# What an administrator has stopped and disabled.
on_machine systemctl disable --now --quiet rekindle.service rekindle.socket
check "upgraded while it is disabled and stopped" install_package "$NEW"
check "it stays disabled" enabled_is rekindle.service disabled
check "… and stopped" unit_is rekindle.service inactive
check "the pod goes on: the same containers" web_goes_on
on_machine systemctl enable --now --quiet rekindle.socket rekindle.service
promise 30 "started by hand, it takes the pod over" web_is active
