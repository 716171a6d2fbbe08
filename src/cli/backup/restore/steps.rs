//! What a restore did, or would do, and what comes next.

use std::fmt::Write;

use serde::Serialize;

use crate::backup::restore::Plan;
use crate::cli::output::{clean, columns};

/// For people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// False: a dry run.
    done: bool,
    /// The bundle or file.
    source: String,
    data_dir: String,
    tool: String,
    tool_version: String,
    /// Revision of the backup.
    revision: i64,
    /// Added to it; absent: not raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    bump_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bump_reason: Option<String>,
    name: String,
    initial_cluster: String,
    initial_advertise_peer_urls: String,
    initial_cluster_token: String,
    /// The key that signed it; absent: not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    checked: Vec<String>,
    /// What is less than perfect about the backup.
    remarks: Vec<String>,
    next_steps: Vec<String>,
}

impl Report {
    pub(super) fn of(plan: &Plan, backup: &str, dry_run: bool) -> Self {
        let bump = plan.bump.as_ref();
        Self {
            done: !dry_run,
            source: plan.source.clone(),
            data_dir: plan.data_dir.display().to_string(),
            tool: plan.tool.path.display().to_string(),
            tool_version: plan.tool.version.clone(),
            revision: plan.revision,
            bump_revision: bump.map(|bump| bump.by),
            bump_reason: bump.map(|bump| bump.reason.clone()),
            name: plan.member.name.clone(),
            initial_cluster: plan.member.initial_cluster.clone(),
            initial_advertise_peer_urls: plan.member.peer_urls.clone(),
            initial_cluster_token: plan.member.token.clone(),
            signed_by: plan.signed_by.map(|key| key.to_string()),
            checked: plan.checked.clone(),
            remarks: plan.remarks.clone(),
            next_steps: next_steps(plan, backup),
        }
    }

    pub(super) fn text(&self) -> String {
        let raised = match (self.bump_revision, &self.bump_reason) {
            (Some(by), Some(reason)) => format!("by {by} = {reason}"),
            _ => "NOT raised: clients may take old answers for new ones".to_owned(),
        };
        let signed = self.signed_by.as_deref();
        let rows = [
            ("backup", self.source.as_str()),
            ("signed by", signed.unwrap_or("NOT asked for")),
            ("checked", &self.checked.join(", ")),
            ("revision", &self.revision.to_string()),
            ("raised", &raised),
            ("made by", &format!("{} {}", self.tool, self.tool_version)),
            ("member", &self.name),
            ("cluster", &self.initial_cluster),
            ("token", &self.initial_cluster_token),
            ("data directory", &self.data_dir),
        ];
        let remarks = self.remarks.iter().map(|said| ("BUT", said.as_str()));
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .chain(remarks)
            .map(|(what, is)| vec![what.to_owned(), is.to_owned()])
            .collect();
        let head = if self.done {
            "restored"
        } else {
            "nothing was done; this would be restored"
        };
        let mut text = format!("{head}\n{}\nnext:\n", columns(&rows, "  "));
        for (number, step) in self.next_steps.iter().enumerate() {
            let _ = writeln!(text, "  {}. {}", number + 1, clean(step));
        }
        text
    }
}

fn next_steps(plan: &Plan, backup: &str) -> Vec<String> {
    let dir = plan.data_dir.display();
    let member = &plan.member;
    let (set, token) = (&member.initial_cluster, &member.token);
    let bump = match &plan.bump {
        Some(bump) => format!("--bump-revision {}", bump.by),
        None => "--no-revision-bump".to_owned(),
    };
    let mut steps: Vec<String> = member
        .others
        .iter()
        .map(|other| {
            format!(
                "on {other}, with a copy of the same backup (trusted there by --trusted-key FILE, \
                 the signing-key.pub of the master that took it): rekindle backup restore {backup} \
                 --data-dir {dir} --name {other} --initial-cluster {set} \
                 --initial-cluster-token {token} {bump}"
            )
        })
        .collect();
    steps.push(format!(
        "where etcd runs as another user than root: chown -R etcd: {dir}"
    ));
    steps.push(format!(
        "start etcd: its manifest or unit needs --data-dir={dir} --name={} --initial-cluster={set} \
         --initial-advertise-peer-urls={} --initial-cluster-token={token} \
         --initial-cluster-state=new",
        member.name, member.peer_urls
    ));
    steps.push(if plan.bump.is_some() {
        "start the API servers; their clients see their old revisions compacted and list afresh"
            .to_owned()
    } else {
        "stop every API server, controller and kubelet, and start them only now: what they \
         remember of revisions is wrong"
            .to_owned()
    });
    steps
}
