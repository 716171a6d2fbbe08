//! What the project promises about its own files, as tests over the checkout.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rekindle::failpoints;

/// Scenarios that need a test named after them (`c01_…`).
const REQUIRED: [&str; 63] = [
    "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "c13",
    "c14", "c15", "c16", "c17", "c18", "c19", "c20", "c21", "c22", "c23", "c24", "d01", "d02",
    "d03", "d04", "d05", "d06", "d07", "d08", "b01", "b02", "b03", "b04", "b05", "b06", "b07",
    "b08", "b09", "b10", "b11", "r01", "r02", "r03", "r04", "r05", "r06", "r07", "r08", "r09",
    "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20",
];

/// Adapters know external systems and not each other.
const ADAPTERS: [&str; 10] = [
    "apiserver",
    "containerd",
    "engine",
    "kubelet",
    "manifests",
    "objectstore",
    "probe",
    "signals",
    "store",
    "systemd",
];

/// Who may use what of another adapter all the same: the one writer, and the one client.
const ADAPTERS_MAY: [(&str, &str); 5] = [
    ("manifests", "crate::store::"),
    ("engine", "crate::store::"),
    ("objectstore", "crate::store::"),
    ("engine", "crate::containerd::"),
    ("probe", "crate::containerd::"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of ours below `below`, generated and recorded ones left out.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                if !["fixtures", "snapshots", "proptest-regressions"].contains(&name.as_str()) {
                    open.push(path);
                }
            } else if path
                .extension()
                .is_none_or(|end| end == "rs" || end == "sh")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file below {below}");
    found
}

fn rust(below: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs");
    files(below).into_iter().filter(rust).map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    })
}

/// The lines of code, comments left out, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate();
    numbered
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line))
}

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let all = files("src").into_iter().chain(files("tests"));
    let long = all.filter_map(|path| {
        let lines = String::from_utf8_lossy(&std::fs::read(&path).unwrap())
            .lines()
            .count();
        (lines > 400).then(|| format!("{}: {lines} lines", path.display()))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn files_are_named_for_what_they_hold() {
    let empty = [
        "utils", "util", "manager", "common", "helper", "helpers", "misc",
    ];
    let all = files("src").into_iter().chain(files("tests"));
    let named = all.filter(|path| {
        let parts = path.strip_prefix(root()).unwrap().iter();
        let words = parts.flat_map(|part| part.to_str().unwrap().split(['_', '.']));
        words.into_iter().any(|word| empty.contains(&word))
    });
    none(
        &named
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent = rust("src")
        .chain(rust("tests"))
        .filter(|(_, text)| !text.starts_with("//!"));
    none(
        &silent
            .map(|(path, _)| path.display().to_string())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_core_knows_no_outside_world() {
    let allowed = [
        "std",
        "serde",
        "serde_json",
        "k8s_openapi",
        "thiserror",
        "sha2",
        "jiff",
        "croner",
        "super",
        "self",
        "proptest",
    ];
    let forbidden = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "tokio",
        "hyper::",
        "kube::",
        "tonic",
        "tracing",
        "rustix",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "TimeZone::get",
        "TimeZone::system",
        "include_str!",
        "println!",
    ];
    let mut found = Vec::new();
    for (path, text) in rust("src/core") {
        for (number, line) in code(&text) {
            let used = line
                .trim_start()
                .trim_start_matches("pub ")
                .strip_prefix("use ");
            let start = used.and_then(|path| path.split([':', ';', ' ']).next());
            let foreign = start.is_some_and(|start| match start {
                "crate" => !line.contains("crate::core"),
                start => !allowed.contains(&start) && !start.starts_with(char::is_uppercase),
            });
            // An address is a value; asking it would need more of `std::net`.
            let value = line.trim() == "use std::net::IpAddr;";
            let world = !value && forbidden.iter().any(|word| line.contains(word));
            let ours = line.contains("crate::") && !line.contains("crate::core");
            if foreign || world || ours {
                found.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    none(&found);
}

#[test]
fn adapters_do_not_know_each_other() {
    let mut found = Vec::new();
    for (path, text) in rust("src") {
        let own = path
            .iter()
            .nth(1)
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        if !ADAPTERS.contains(&own) {
            continue;
        }
        for (number, line) in code(&text) {
            let other = ADAPTERS.iter().filter(|other| **other != own);
            let used = other.map(|other| format!("crate::{other}::"));
            let mut used = used.filter(|used| line.contains(used.as_str()));
            if used.any(|used| !ADAPTERS_MAY.contains(&(own, used.as_str()))) {
                found.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    none(&found);
}

#[test]
fn one_module_writes_files() {
    let writers = [
        "fs::write(",
        "fs::rename(",
        "fs::remove_",
        "fs::create_dir",
        "fs::copy(",
        "File::create(",
        "File::create_new(",
        "renameat",
        "unlinkat",
        "mkdirat",
        "fs::linkat",
        "remove_dir_all",
        "DirBuilder",
    ];
    let mut found = Vec::new();
    for (path, text) in rust("src") {
        // A socket is a name without content, a container's log is appended to: neither can be
        // lost by half, and neither is ever read back for a decision.
        // So it is with what a pod of our own engine mounts: made anew at each start.
        let harmless = [
            "src/api/listen.rs",
            "src/cli/cri_log.rs",
            "src/engine/mounts.rs",
        ];
        if path.starts_with("src/store/durable")
            || harmless.iter().any(|own| path == Path::new(own))
        {
            continue;
        }
        for (number, line) in code(&text) {
            if writers.iter().any(|writer| line.contains(writer)) {
                found.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    none(&found);
}

#[test]
fn no_test_sleeps() {
    let sleep = ["sleep", "("].concat();
    let mut found = Vec::new();
    for (path, text) in rust("tests") {
        let sleeping = code(&text).filter(|(_, line)| line.contains(&sleep));
        found.extend(sleeping.map(|(number, line)| format!("{}:{number}: {line}", path.display())));
    }
    none(&found);
}

#[test]
fn nothing_is_left_to_do_in_code() {
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let mut found = Vec::new();
    for (path, text) in rust("src").chain(rust("tests")) {
        for (number, line) in code(&text) {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    none(&found);
}

#[test]
fn the_top_level_holds_only_what_it_may() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "src",
        "tests",
        "systemd",
        "image",
        "vagrant",
        "target",
    ];
    let entries = std::fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let other = names.filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str()));
    none(&other.collect::<Vec<_>>());
}

#[test]
fn every_crash_point_is_in_the_table_and_in_the_code() {
    let mut used = Vec::new();
    for (_, text) in rust("src") {
        for (_, line) in code(&text) {
            for call in line.split("hit(\"").skip(1) {
                used.push(call.split('"').next().unwrap().to_owned());
            }
        }
    }
    let distinct: BTreeSet<&str> = used.iter().map(String::as_str).collect();
    let table: BTreeSet<&str> = failpoints::ALL.iter().copied().collect();
    assert_eq!(
        table.len(),
        failpoints::ALL.len(),
        "a name is twice in the table"
    );
    assert_eq!(distinct, table);
    assert_eq!(
        distinct.len(),
        used.len(),
        "a name stands at two places in the code"
    );
}

#[test]
fn every_scenario_has_a_test_named_after_it() {
    let mut named = BTreeSet::new();
    for (_, text) in rust("src").chain(rust("tests")) {
        for (_, line) in code(&text) {
            if let Some((_, name)) = line.split_once("fn ") {
                named.extend(name.split('_').next().map(str::to_owned));
            }
        }
    }
    let missing = REQUIRED.iter().filter(|id| !named.contains(**id));
    none(
        &missing
            .map(|id| format!("{id}: no test is named after it"))
            .collect::<Vec<_>>(),
    );
}
