# shellcheck shell=bash
# A machine under QEMU, without KVM: a disk over the image's, UEFI firmware, no network but QEMU's own closed one, and a port
# through which it says its verdict.

# machine_make DISK   a fresh disk of 6 GB over it, and what the test needs on a second one
machine_make() {
    local code
    for code in OVMF_CODE_4M.fd OVMF_CODE.fd; do
        [[ ! -e "/usr/share/OVMF/$code" ]] || break
    done
    MACHINE_FIRMWARE="/usr/share/OVMF/$code"
    rm -f "$RUN"/{disk.qcow2,firmware.fd,data.tar}
    cp "${MACHINE_FIRMWARE/CODE/VARS}" "$RUN/firmware.fd"
    qemu-img create -q -f qcow2 -F raw -b "$1" "$RUN/disk.qcow2" 6G
    tar --owner=0 --group=0 -cf "$RUN/data.tar" -C "$PWD/tests/fixtures/checkpoint" checkpoint.tar -C "$PWD/tests/image" inside.sh -C "$("$LAB_SCRIPTS/images")" busybox.tar
}

# machine_start NAME   its verdict goes to NAME.verdict, its console to NAME.console.log
machine_start() {
    local test
    # Short: systemd 252 cuts a long one off.
    test=$(base64 -w0 <<<'tar -xOf /dev/disk/by-id/virtio-lab-data inside.sh >/run/inside.sh && exec sh /run/inside.sh')
    : >"$RUN/$1.verdict"
    qemu-system-x86_64 -machine q35 -accel tcg,thread=multi,tb-size=256 -cpu max -m 1536 -smp 2 \
        -nodefaults -no-user-config -display none \
        -drive "if=pflash,format=raw,readonly=on,file=$MACHINE_FIRMWARE" -drive "if=pflash,format=raw,file=$RUN/firmware.fd" \
        -drive "if=virtio,format=qcow2,cache=writeback,file=$RUN/disk.qcow2" \
        -drive "if=none,id=data,format=raw,readonly=on,file=$RUN/data.tar" -device virtio-blk-pci,drive=data,serial=lab-data \
        -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net -device virtio-rng-pci \
        -device virtio-serial-pci -chardev "file,id=verdict,path=$RUN/$1.verdict" -device virtserialport,chardev=verdict,name=lab.verdict \
        -serial "file:$RUN/$1.console.log" \
        -smbios "type=11,value=io.systemd.credential.binary:lab.test=$test" >"$RUN/$1.qemu.log" 2>&1 </dev/null &
    MACHINE=$!
}

machine_end() {
    [[ -n "${MACHINE-}" ]] || return 0
    kill -9 "$MACHINE" 2>/dev/null || true
    wait "$MACHINE" 2>/dev/null || true
    MACHINE=''
}

verdict_said() { grep -qx end "$RUN/$1.verdict" || ! kill -0 "$MACHINE" 2>/dev/null; }

# verdict NAME   counts what the machine said, once it has said all
verdict() {
    local line
    wait_for "${IMAGE_BOOT_SECONDS:-900}" "the machine to say its verdict" verdict_said "$1" || true
    while read -r line; do
        case "$line" in
            "ok "*) check "${line#ok }" true ;;
            "FAILED "*) check "${line#FAILED }" false ;;
            "note "*) note "${line#note }" ;;
        esac
    done <"$RUN/$1.verdict"
    check "the machine came to the end of its checks ($1 boot)" machine_came_to_the_end "$1"
}

machine_came_to_the_end() {
    grep -qx end "$RUN/$1.verdict" && return 0
    cat "$RUN/$1.qemu.log"
    tail -n 30 "$RUN/$1.console.log"
    return 1
}
