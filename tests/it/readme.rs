//! The README's tables are the code's.

use rekindle::cli::exit::Exit;
use rekindle::config::keys;
use rekindle::metrics::rows as metrics;

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the table below a heading, without its head.
fn rows(heading: &str) -> Vec<String> {
    let readme = readme();
    let (_, rest) = readme
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading:?}"));
    let section = rest
        .split_once("\n## ")
        .map_or(rest, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.skip(2).map(str::to_owned).collect()
}

#[test]
fn configuration_table() {
    let expected: Vec<String> = keys::table("")
        .iter()
        .map(|key| format!("| `{}` | `{}` | {} |", key.path(), key.default, key.meaning))
        .collect();
    assert_eq!(rows("Configuration"), expected, "\n{}", expected.join("\n"));
}

#[test]
fn metrics_table() {
    let expected: Vec<String> = metrics()
        .map(|(name, labels, meaning)| format!("| `{name}` | {labels} | {meaning} |"))
        .collect();
    assert_eq!(rows("Metrics"), expected, "\n{}", expected.join("\n"));
}

#[test]
fn exit_codes_table() {
    let told: Vec<String> = rows("Exit codes")
        .iter()
        .map(|row| row.split('|').nth(1).unwrap().trim().to_owned())
        .collect();
    assert_eq!(told, Exit::ALL.map(|exit| exit.code().to_string()));
}

#[test]
fn each_command_is_in_the_table() {
    let told: Vec<String> = rows("Commands")
        .iter()
        .filter_map(|row| row.split('`').nth(1).map(str::to_owned))
        .collect();
    let mut expected = Vec::new();
    for command in rekindle::cli::command().get_subcommands() {
        let name = command.get_name();
        if command.is_hide_set() {
            continue;
        }
        if command.get_subcommands().next().is_none() {
            expected.push(name.to_owned());
        }
        let nested = command
            .get_subcommands()
            .map(|sub| format!("{name} {}", sub.get_name()));
        expected.extend(nested);
    }
    assert_eq!(told, expected);
}
