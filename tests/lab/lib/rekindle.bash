# shellcheck shell=bash
# What the daemon says of itself, through its own command. Needs load_env, daemons.bash,
# namespaces.bash and cgroups.bash.

CHECKPOINTS=(daemonset.kube-system.kube-apiserver deployment.kube-system.kube-controller-manager deployment.kube-system.kube-scheduler)

rekindle_status() { timeout 5 "$(rekindle_binary)" status -o json --socket "$LAB_REKINDLE_SOCKET"; }

# rekindle_in_node ARG...   a command of ours as it runs on the node itself
rekindle_in_node() { (
    cgroup_join
    in_node "$(rekindle_binary)" "$@" --config "$LAB_DIR/rekindle.toml"
); }

# checkpoint_field ID FIELD
checkpoint_field() { rekindle_status | jq -r --arg id "$1" ".checkpoints[] | select(.id == \$id) | .$2 // empty"; }

# checkpoint_is ID STATE...
checkpoint_is() {
    local id=$1 state
    state=$(checkpoint_field "$id" state) || return 1
    shift
    [[ " $* " == *" $state "* ]]
}

# The web server of config/web.json: its checkpoint is whole, and its parent serves.
WEB=daemonset.kube-system.lab-web
web_is_learnt() { checkpoint_is "$WEB" inactive && [[ "$(checkpoint_field "$WEB" parent_state)" == serving ]]; }

# checkpoints_are STATE   all three of the control plane
checkpoints_are() {
    rekindle_status | jq -e --arg state "$1" --args '[.checkpoints[] | select(.state == $state) | .id] as $there
        | $ARGS.positional | all(. as $id | $there | index($id))' "${CHECKPOINTS[@]}"
}

# One line for each checkpoint whose state or engine is another than at the last call.
state_changes() {
    local seen="$LAB_DIR/states-seen"
    rekindle_status 2>/dev/null | jq -r '.checkpoints[]? | [(.id | split(".") | last) + ": " + .state
        + (if .engine then " by " + .engine else "" end), .reason // ""] | @tsv' >"$seen.new" || return 0
    touch "$seen"
    awk -F'\t' 'NR == FNR {seen[$1] = 1; next} !($1 in seen) {print $1 ($2 ? " (" $2 ")" : "")}' "$seen" "$seen.new"
    [[ ! -s "$seen.new" ]] || mv "$seen.new" "$seen"
}

# Everything as before the power cut: parents run and are Ready, and no copy of ours runs beside them.
all_handed_back() { parents_ready && checkpoints_are inactive; }

# Manifests of ours that stand in the kubelet's directory.
our_manifests() { find "$LAB_MANIFEST_DIR" -maxdepth 1 -type f ! -name 'floor*' ! -name 'lab-*' ! -name 'kube-*.yaml' ! -name etcd.yaml -printf '%f\n'; }
