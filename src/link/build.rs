//! How the released binary is linked.
//!
//! Most of an idle daemon's resident memory are pages of its own program, and the kernel maps sixteen around each that is
//! touched: with the functions in the order of their crates nearly all of the 15 MB of code is resident, though an idling
//! daemon runs a fifth of its functions. So those stand side by side, in the order in which `tests/lab/record-order` saw them
//! run (`functions.order`). A name that is no longer there is passed over: an old order costs memory, nothing else.
//!
//! Relocations are packed (`DT_RELR`, glibc 2.36 and later): unpacked they are 0.6 MB that the loader reads at each start.
//!
//! Both need lld, which Rust's own toolchains use on x86-64 since 1.90
//! (<https://blog.rust-lang.org/2025/09/01/rust-lld-on-1.90.0-stable/>); elsewhere the binary is linked as usual.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const ORDER: &str = "src/link/functions.order";

fn main() {
    println!("cargo:rerun-if-changed=src/link/build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    if !is("PROFILE", "release") || !is("TARGET", "x86_64-unknown-linux-gnu") {
        return;
    }
    if !links_with_lld() {
        println!("cargo:warning=linked without lld: the idle daemon takes some 7 MB more");
        return;
    }
    let Some(root) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
        return;
    };
    let order = root.join(ORDER);
    println!(
        "cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}",
        order.display()
    );
    println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}

fn is(name: &str, value: &str) -> bool {
    env::var_os(name).is_some_and(|found| found == value)
}

/// Distributions' compilers, and versions before 1.90, have no lld beside their libraries or do not use it.
fn links_with_lld() -> bool {
    let Some(rustc) = env::var_os("RUSTC") else {
        return false;
    };
    let says = |argument: &[&str]| {
        let output = Command::new(&rustc).args(argument).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let minor = says(&["--version"]).and_then(|text| text.split('.').nth(1)?.parse().ok());
    let own = says(&["--print", "sysroot"]).is_some_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld")
            .exists()
    });
    own && minor.is_some_and(|minor: u32| minor >= 90)
}
