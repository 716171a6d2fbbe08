#!/bin/sh
# The part of tests/image/run that runs on the machine itself, as the credential lab.test: before the power cut, and after it.
# Its lines on stdout leave by the virtio port: "ok WHAT", "FAILED WHAT", "note TEXT", and "end" when it is through.
set -u
export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8
STATE=/var/lib/lab-test
WEB=daemonset.kube-system.lab-web

check() {
    what=$1
    shift
    if "$@" >/run/lab-test.out 2>&1; then echo "ok $what"; else
        echo "FAILED $what"
        tail -n 5 /run/lab-test.out | sed 's/^/note     /'
    fi
}
note() { echo "note $*"; }
# wait_for SECONDS COMMAND...
wait_for() {
    end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 1
    done
}

healthy() {
    state=$(systemctl is-system-running --wait)
    echo "$state"
    systemctl list-units --failed --no-legend --plain
    [ "$state" = running ]
}
usr_is_verity() {
    findmnt -no SOURCE,FSTYPE,OPTIONS /usr
    findmnt -no FSTYPE,OPTIONS /usr | grep -Eq '^erofs +ro' && grep -q '^CRYPT-VERITY-' "/sys/class/block/$(basename "$(readlink -f "$(findmnt -no SOURCE /usr)")")/dm/uuid"
}
usr_refuses() { ! touch /usr/written && ! mount -o remount,rw /usr; }
writable() { for place in /etc /var; do touch "$place/written" && rm "$place/written" || return 1; done; }
root_has_grown() { findmnt -bno SIZE / && [ "$(findmnt -bno SIZE /)" -gt 4000000000 ]; }
has_identity() {
    read -r id </etc/machine-id
    echo "$id $(hostname)"
    [ "${#id}" = 32 ] && [ "$(hostname)" = "master-$(printf %.8s "$id")" ]
}
has_host_keys() { [ -s /etc/ssh/ssh_host_ed25519_key ]; }
journal_persists() { [ -d "/var/log/journal/$(cat /etc/machine-id)" ]; }
doctor_answers() {
    rekindle doctor -o json >"$STATE/doctor.json" 2>"$STATE/doctor.err"
    code=$?
    cat "$STATE/doctor.err"
    # 1: it found something, as it must on a master without a cluster.
    [ "$code" -le 1 ] && jq -e . "$STATE/doctor.json"
}
rated() { systemd-analyze security --no-pager --threshold=25 rekindle.service >"$STATE/rating"; }
units_are() { # the units and their states as one asks for
    for pair in "$@"; do
        [ "$(systemctl is-active "${pair%=*}")" = "${pair#*=}" ] || {
            echo "${pair%=*} is $(systemctl is-active "${pair%=*}")"
            return 1
        }
    done
}
# Beyond loopback (the resolver, containerd's streams): the DHCP client, and ssh, which is the lab's.
no_other_port() {
    ss -Hltun | awk '{print $1, $5}'
    ! ss -Hltun | awk '{print $1, $5}' | grep -Ev '^(tcp|udp) 127\.0\.0\.[0-9]+(%lo)?:[0-9]+$|^udp [^ ]+:(68|546)$|^tcp (0\.0\.0\.0|\[::\]|\*):22$'
}

put_checkpoint() {
    systemctl stop rekindle.service &&
        mkdir -p /etc/kubernetes/manifests /etc/rekindle/config.d &&
        printf '[checkpoint]\nactivation_delay_seconds = 1\nkubelet_deadline_seconds = 3\n' >/etc/rekindle/config.d/lab.toml &&
        rm -f /var/lib/rekindle/state*.json &&
        tar -xf /dev/disk/by-id/virtio-lab-data -C "$STATE" &&
        tar -xpf "$STATE/checkpoint.tar" -C /var/lib/rekindle/checkpoints &&
        wait_for 120 ctr version &&
        ctr -n k8s.io images import "$STATE/busybox.tar" &&
        rekindle check-config
}
active_by_containerd() {
    rekindle checkpoint list -o json >"$STATE/list.json" && jq -c . "$STATE/list.json" &&
        jq -e --arg id "$WEB" '[.. | objects | select(.id? == $id)] | any(.state == "active" and .engine == "containerd")' "$STATE/list.json"
}
answers() { [ "$(curl -sf --max-time 20 http://127.0.0.1:8088/)" = "hello from a stored Secret" ]; }
two_containers() { ctr -n rekindle tasks ls -q && [ "$(ctr -n rekindle tasks ls -q | wc -l)" = 2 ]; }
same_machine() { [ "$(cat /etc/machine-id)" = "$(cat "$STATE/machine-id")" ]; }
knows_boot_before() { journalctl --list-boots --no-pager && journalctl -b -1 -n 1 --no-pager; }

first_boot() {
    check "systemd has started everything, and no unit has failed" healthy
    check "/usr is erofs, read-only, and on dm-verity" usr_is_verity
    note "$(findmnt -no SOURCE,FSTYPE,OPTIONS /usr)"
    check "… and cannot be written to" usr_refuses
    check "/etc and /var can be written to" writable
    check "the root file system has grown to the disk's end" root_has_grown
    check "the machine has an identity and a name made of it" has_identity
    check "… and ssh host keys of its own" has_host_keys
    check "the journal is kept on the disk" journal_persists
    check "containerd and rekindle run; the kubelet waits for its configuration, etcd is off" \
        units_are containerd.service=active rekindle.service=active rekindle.socket=active kubelet.service=inactive etcd.service=inactive
    check "nothing listens beyond loopback but the DHCP client and the lab's ssh" no_other_port
    check "rekindle doctor answers" doctor_answers
    check "rekindle.service is rated at most 2.5" rated
    note "$(tail -n 1 "$STATE/rating")"
    note "$(uname -r), $(systemctl --version | head -n 1)"
    note "$(systemd-analyze time | head -n 1)"
    systemd-analyze blame --no-pager | grep -E 'rekindle|containerd' | sed 's/^/note /'
    check "a stored checkpoint and its image are put on the machine" put_checkpoint
    cp /etc/machine-id "$STATE/machine-id"
    sync
}

second_boot() {
    check "after the hard reset: systemd has started everything, and no unit has failed" healthy
    check "… it is the same machine" same_machine
    check "… its journal has the boot before" knows_boot_before
    check "… the checkpoint is active, by our own engine" wait_for 180 active_by_containerd
    check "… with its two containers" two_containers
    check "… and answers, with the stored Secret" wait_for 60 answers
    note "$(rekindle checkpoint list | tail -n 1)"
}

if [ -e "$STATE/machine-id" ]; then second_boot; else
    mkdir -p "$STATE"
    first_boot
fi
echo end
