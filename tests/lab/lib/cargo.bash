# shellcheck shell=bash
# Finding Rust. Under sudo, root's PATH often lacks the cargo of the user who called.

cargo_find() {
    local home
    command -v cargo >/dev/null && return 0
    for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)" /root /usr/local; do
        if [[ -x "$home/.cargo/bin/cargo" ]]; then
            export CARGO_HOME="$home/.cargo" RUSTUP_HOME="$home/.rustup" PATH="$home/.cargo/bin:$PATH"
            return 0
        fi
    done
    die "no cargo found; install Rust (the toolchain that Cargo.toml names as rust-version, or later) and call again"
}

# Files made as root in a user's checkout are given back, or the user's next cargo could not write them.
cargo_give_back() {
    local owner target="${CARGO_TARGET_DIR:-$LAB_REPOSITORY/target}"
    owner=$(stat -c %u:%g "$LAB_REPOSITORY")
    [[ "$owner" == 0:0 || ! -d "$target" ]] || chown -R "$owner" "$target"
}

# The daemon's binary, built unless the caller names one.
cargo_build_daemon() {
    [[ -z "${REKINDLE_BIN-}" ]] || return 0
    cargo_find
    (cd "$LAB_REPOSITORY" && cargo build --release --locked </dev/null) || die "cargo build --release failed (above)"
    cargo_give_back
    export REKINDLE_BIN="${CARGO_TARGET_DIR:-$LAB_REPOSITORY/target}/release/rekindle"
}
