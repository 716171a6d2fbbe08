# shellcheck shell=bash
# The kubelet changes settings of the whole machine. They are noted before the first node and put back after the last.

SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

sysctls_save() {
    local name
    [[ ! -e "$LAB_ROOT/.sysctls" ]] || return 0
    for name in "${SYSCTLS[@]}"; do
        [[ ! -e "/proc/sys/${name//.//}" ]] || echo "$name=$(cat "/proc/sys/${name//.//}")"
    done >"$LAB_ROOT/.sysctls.new"
    mv "$LAB_ROOT/.sysctls.new" "$LAB_ROOT/.sysctls"
}

sysctls_restore() {
    local name value
    [[ -e "$LAB_ROOT/.sysctls" ]] || return 0
    while IFS='=' read -r name value; do
        [[ "$(cat "/proc/sys/${name//.//}")" == "$value" ]] || echo "$value" >"/proc/sys/${name//.//}" ||
            say "could not put $name back to $value; do it by hand: sysctl -w $name=$value"
    done <"$LAB_ROOT/.sysctls"
    rm -f "$LAB_ROOT/.sysctls"
}
