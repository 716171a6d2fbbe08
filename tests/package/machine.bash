# shellcheck shell=bash
# The machine that the package is installed on: a real systemd, apt and dpkg, containerd, an etcd and a kubelet as units.
# Needs tests/lab/lib/common.bash. It is without a network: what is installed is there.

SYSTEM="$NODE-system"
STATE=/var/lib/rekindle

system() { NODE="$SYSTEM" "$LAB_SCRIPTS/system" "$@"; }
on_machine() { system exec "$@"; }
machine_file() { on_machine install -D -m "${2:-0644}" /dev/stdin "$1"; }

# What apt says is kept, and shown only where a check fails.
apt() { on_machine env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$LAB_DIR/apt.txt" 2>&1 </dev/null; }
apt_or_show() {
    apt "$@" && return 0
    cat "$LAB_DIR/apt.txt" >&2
    return 1
}
give_package() { machine_file "/root/${1##*/}" <"$1"; }
install_package() { apt_or_show install --yes --no-install-recommends --allow-downgrades "/root/${1##*/}"; }
apt_said() { grep -E "$1" "$LAB_DIR/apt.txt"; }
# shellcheck disable=SC2016
version_is() { [[ "$(on_machine dpkg-query -W -f '${db:Status-Status} ${Version}' rekindle)" == "installed $1" ]]; }
# shellcheck disable=SC2016
package_is() { [[ "$(on_machine dpkg-query -W -f '${db:Status-Status}' rekindle 2>/dev/null || echo none)" == "$1" ]]; }
# Of every file of the package: there, and as it came.
files_are_whole() { [[ -z "$(on_machine dpkg --verify rekindle)" ]]; }

show() { on_machine systemctl show --property="$1" --value "${2:-rekindle.service}"; }
unit_is() { [[ "$(show ActiveState "$1")" == "$2" ]]; }
enabled_is() { [[ "$(on_machine systemctl is-enabled "$1" 2>/dev/null)" == "$2" ]]; }
pid() { show MainPID; }
another_pid() { [[ "$(pid)" != "$1" ]] && unit_is rekindle.service active; }
same_pid() { [[ "$(pid)" == "$1" ]] && unit_is rekindle.service active; }
there() { on_machine test -e "$1"; }
away() { on_machine test ! -e "$1"; }

# Container ids and pids of what our own engine runs: the same before and after means that nothing was restarted.
tasks() { on_machine ctr -n rekindle tasks ls | awk '$3 == "RUNNING" {print $1, $2}' | sort; }
web_goes_on() { [[ "$(tasks)" == "$TASKS" && "$(fetch)" == "hello from a stored Secret" ]]; }
fetch() { nsenter --net="/run/netns/rekindle-lab-$SYSTEM" curl -sf --max-time 5 http://127.0.0.1:8088/; }
web_is() {
    on_machine rekindle status -o json |
        jq -e --arg id "$WEB" --arg state "$1" '.checkpoints[] | select(.id == $id) | .state == $state and .engine == "containerd"'
}
# Every byte of the stored checkpoint, its owners and modes.
checkpoint_sum() { on_machine sh -c "cd $STATE/checkpoints && tar --sort=name -c $WEB 2>/dev/null | sha256sum"; }
checkpoint_is_whole() { [[ "$(checkpoint_sum)" == "$CHECKPOINT" ]]; }

# A recorded checkpoint (tests/lab/record-checkpoint) and the image of its pod, and little patience.
give_checkpoint() {
    # It is to find the checkpoint when it starts, as if it had learnt it.
    on_machine systemctl stop rekindle.service 2>/dev/null
    on_machine rm -f "$STATE/state.json" "$STATE/state.previous.json"
    on_machine mkdir -p /etc/rekindle/config.d /etc/kubernetes/manifests "$STATE/checkpoints"
    machine_file /etc/rekindle/config.d/lab.toml <<'TOML'
[checkpoint]
activation_delay_seconds = 1
kubelet_deadline_seconds = 2

[recovery]
automatic = false
TOML
    on_machine tar -C "$STATE/checkpoints" -xp <"$LAB_REPOSITORY/tests/fixtures/checkpoint/checkpoint.tar"
    on_machine ctr -n k8s.io images import - <"$("$LAB_SCRIPTS/images")/busybox.tar" >/dev/null
}

# etcd and a kubelet as a distribution has them: ordered after what they need, each "starting" until it has it.
give_units() {
    local program file
    for program in "$("$LAB_SCRIPTS/etcd" path 3.5)"/{etcd,etcdctl,etcdutl} "$("$LAB_SCRIPTS/build-kubernetes")/kubelet"; do
        machine_file "/usr/bin/${program##*/}" 0755 <"$program"
    done
    "$LAB_SCRIPTS/certificates" --etcd-pki "$LAB_DIR/etcd-pki" "$LAB_DIR/pki" "$LAB_NODE_NAME" "$LAB_ADDRESS"
    for file in ca.crt server.crt server.key healthcheck-client.crt healthcheck-client.key; do
        machine_file "/etc/kubernetes/pki/etcd/$file" 0600 <"$LAB_DIR/etcd-pki/$file"
    done
    machine_file /etc/systemd/system/etcd.service <<'UNIT'
[Unit]
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=/usr/bin/etcd --name m1 --data-dir /var/lib/etcd \
    --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster m1=http://127.0.0.1:2380 --client-cert-auth --trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt \
    --cert-file /etc/kubernetes/pki/etcd/server.crt --key-file /etc/kubernetes/pki/etcd/server.key

[Install]
WantedBy=multi-user.target
UNIT
    machine_file /etc/systemd/system/kubelet.service <<'UNIT'
[Unit]
After=network-online.target containerd.service
Wants=network-online.target

[Service]
Environment=AWS_EC2_METADATA_DISABLED=true
ExecStart=/usr/bin/kubelet --config=/etc/kubelet.json --container-runtime=remote \
    --container-runtime-endpoint=unix:///run/containerd/containerd.sock
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
    # It watches another directory than Rekindle writes to: what it does not take is our own engine's.
    machine_file /etc/kubelet.json <<'JSON'
{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "staticPodPath": "/etc/kubelet-pods",
 "readOnlyPort": 10255, "failSwapOn": false, "cgroupDriver": "cgroupfs", "authentication": {"anonymous": {"enabled": true},
 "webhook": {"enabled": false}}, "authorization": {"mode": "AlwaysAllow"}, "protectKernelDefaults": false,
 "imageGCHighThresholdPercent": 100, "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"}}
JSON
    # Something of somebody else that hooks itself into recovery mode.
    machine_file /etc/systemd/system/hook.service <<'UNIT'
[Unit]
PartOf=rekindle-recovery.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo began >>/var/lib/hook'
ExecStop=/bin/sh -c 'echo ended >>/var/lib/hook'

[Install]
WantedBy=rekindle-recovery.target
UNIT
    on_machine mkdir -p /etc/kubelet-pods
    on_machine systemctl daemon-reload
    on_machine systemctl enable --quiet etcd kubelet hook
}

# What `tests/lab/system-tree` leaves out of every package to be small, this one is to bring.
keep_documentation() { on_machine rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap; }
