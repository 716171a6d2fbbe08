//! How a unit of systemd is told, for the one start by which its member joins a cluster, that it
//! does: a drop-in. What its command line says is said there anew; the rest comes by environment,
//! which etcd refuses for what is a flag as well.
//!
//! Source: etcd `pkg/flags/flag.go`, `verifyEnv`; `systemd.service(5)`, `systemd.syntax(7)`.

use std::path::Path;

use k8s_openapi::api::core::v1::Container;

use crate::core::recover::command;

/// What is written for that start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// The drop-in of the unit.
    pub drop_in: String,
    /// The file of environment variables that it names.
    pub environment: String,
}

/// Of the unit whose `ExecStart` is `command`: that its member joins `cluster`, in the form of
/// `--initial-cluster`. `environment_file`: where [`Joining::environment`] will be.
#[must_use]
pub fn joining(command: &[String], environment_file: &Path, cluster: &str) -> Joining {
    let mut container = Container {
        command: Some(command.to_vec()),
        ..Container::default()
    };
    let mut environment = String::new();
    let mut said_anew = false;
    for (flag, to) in [
        ("initial-cluster", cluster),
        ("initial-cluster-state", "existing"),
    ] {
        if command::flag(&container, flag).is_some() {
            command::change(&mut container, flag, |_| Some(to.to_owned()));
            said_anew = true;
        } else {
            let name = flag.to_ascii_uppercase().replace('-', "_");
            environment.extend(["ETCD_", &name, "=\"", to, "\"\n"]);
        }
    }
    let file = environment_file.display().to_string().replace('%', "%%");
    // A large database takes its time until the new member is ready.
    let mut drop_in = format!(
        "# Rekindle: this member joins its cluster. Removed when it has its vote.\n\
         [Service]\nTimeoutStartSec=infinity\nEnvironmentFile={file}\n"
    );
    if said_anew {
        let words = container.command.unwrap_or_default();
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        drop_in.extend(["ExecStart=\nExecStart=", &words.join(" "), "\n"]);
    }
    Joining {
        drop_in,
        environment,
    }
}

/// One word of a command line; `$NAME` in it stays one.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Joining {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        joining(
            &words,
            Path::new("/var/lib/x/etcd.env"),
            "a=http://1:1,b=http://2:1",
        )
    }

    #[test]
    fn flags_of_the_command_line_are_said_anew_and_others_stay() {
        let joining = of(&[
            "/usr/bin/etcd",
            "--name=a b",
            "--initial-cluster",
            "a=http://1:1",
            "--initial-cluster-state=new",
            "--data-dir=${ETCD_DATA_DIR}/50%",
        ]);
        assert_eq!(joining.environment, "");
        let last = joining.drop_in.lines().last().unwrap();
        assert_eq!(
            last,
            "ExecStart=\"/usr/bin/etcd\" \"--name=a b\" \"--initial-cluster\" \
             \"a=http://1:1,b=http://2:1\" \"--initial-cluster-state=existing\" \
             \"--data-dir=${ETCD_DATA_DIR}/50%%\""
        );
        assert!(joining.drop_in.contains("\nExecStart=\nExecStart="));
    }

    #[test]
    fn a_unit_that_is_told_by_its_environment_is_told_so_again() {
        let joining = of(&["/usr/bin/etcd"]);
        assert!(!joining.drop_in.contains("ExecStart"), "{joining:?}");
        assert!(
            joining
                .drop_in
                .contains("EnvironmentFile=/var/lib/x/etcd.env\n")
        );
        assert_eq!(
            joining.environment,
            "ETCD_INITIAL_CLUSTER=\"a=http://1:1,b=http://2:1\"\n\
             ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"
        );
    }

    #[test]
    fn what_is_said_in_both_ways_is_never_said_twice() {
        let joining = of(&["/usr/bin/etcd", "--initial-cluster=a=http://1:1"]);
        assert_eq!(
            joining.environment,
            "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"
        );
        assert!(
            joining
                .drop_in
                .contains("\"--initial-cluster=a=http://1:1,b=http://2:1\"")
        );
    }
}
