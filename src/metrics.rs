//! Prometheus metrics, rendered from one published value; no global, no registration elsewhere.
//!
//! The README's table of metrics is compared with [`rows`] by a test, and [`rows`] with what is
//! rendered. Every label comes from a closed set or is the id of a checkpoint.

mod backups;
mod recovery;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::core::operation::OperationKind;
use crate::core::report::State;
use crate::daemon::clock;
use crate::daemon::publish::Published;

/// Content type of what [`render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Name as it is scraped, labels, and meaning of every metric: those that are always there, and
/// then those that are there only once there is something to tell.
pub fn rows() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let always = TABLE.iter().chain(&recovery::TABLE);
    always.chain(OCCASIONAL.iter().chain(&recovery::OCCASIONAL))
}

const TABLE: [(&str, &str, &str); 26] = [
    (
        "rekindle_build_info",
        "version",
        "Version of the daemon, always 1",
    ),
    (
        "rekindle_source_up",
        "source",
        "1 while the source answers, else 0",
    ),
    (
        "rekindle_source_state_seconds",
        "source",
        "How long the source has been so",
    ),
    ("rekindle_checkpoints", "state", "Checkpoints in this state"),
    (
        "rekindle_checkpoint_state",
        "checkpoint, state",
        "1 for the state that the checkpoint is in",
    ),
    (
        "rekindle_checkpoint_handover_failures",
        "checkpoint",
        "Failed hand-overs in a row",
    ),
    (
        "rekindle_missing_images",
        "",
        "Images that checkpoints need and that are not proven present",
    ),
    (
        "rekindle_operation_running",
        "operation",
        "1 while a process works on such an operation, and nothing is protected",
    ),
    (
        "rekindle_operation_unfinished",
        "operation",
        "1 while such an operation was cut off or holds the node, and nothing is protected",
    ),
    (
        "rekindle_hold_seconds_left",
        "",
        "How long an operator's hold still lasts, and nothing is protected, 0: none",
    ),
    ("rekindle_problems", "", "Problems that need an operator"),
    ("rekindle_turns_total", "", "Completed turns of the loop"),
    (
        "rekindle_turn_duration_seconds",
        "",
        "Duration of the last turn",
    ),
    (
        "rekindle_actions_total",
        "action, outcome",
        "Actions carried out",
    ),
    (
        "rekindle_backup_enabled",
        "",
        "1 where this node takes backups, else 0",
    ),
    (
        "rekindle_backup_running",
        "work",
        "1 while such work is under way",
    ),
    (
        "rekindle_backup_newest_proven_timestamp_seconds",
        "",
        "When the newest backup that is proven restorable was taken, 0: none",
    ),
    (
        "rekindle_backup_last_proof_timestamp_seconds",
        "",
        "When the rehearsal of that backup ended, 0: none",
    ),
    (
        "rekindle_backup_newest_verified_timestamp_seconds",
        "",
        "When the newest verified backup was taken, 0: none",
    ),
    (
        "rekindle_backup_newest_bytes",
        "",
        "Size of the newest whole backup, 0: none",
    ),
    ("rekindle_backup_kept", "", "Whole backups on this node"),
    ("rekindle_backup_kept_bytes", "", "Size of all of them"),
    (
        "rekindle_backup_damaged",
        "",
        "What lies among the backups and is none",
    ),
    (
        "rekindle_backup_min_free_bytes",
        "",
        "Below this much free space no backup is begun",
    ),
    (
        "rekindle_backup_runs_total",
        "outcome, work",
        "Ended backups and rehearsals, since the daemon started",
    ),
    (
        "rekindle_backup_failures_in_a_row",
        "",
        "Backups that failed since the last good one",
    ),
];
/// Metrics that are there only once there is something to tell.
const OCCASIONAL: [(&str, &str, &str); 10] = [
    (
        "rekindle_handover_gap_seconds",
        "",
        "Length of the last hand-over, from release to the parent serving",
    ),
    (
        "rekindle_backup_free_bytes",
        "",
        "Free space of the file system that holds the backups",
    ),
    (
        "rekindle_backup_last_run_timestamp_seconds",
        "",
        "When the last backup that was tried ended",
    ),
    (
        "rekindle_backup_last_run_success",
        "",
        "1 where it succeeded, else 0",
    ),
    (
        "rekindle_backup_last_run_duration_seconds",
        "",
        "How long it took",
    ),
    (
        "rekindle_backup_rehearsal_duration_seconds",
        "",
        "How long the last rehearsal took",
    ),
    (
        "rekindle_backup_high_water_revision",
        "",
        "Largest revision of the etcd cluster that was recorded here",
    ),
    (
        "rekindle_backup_target_last_success_timestamp_seconds",
        "target",
        "When the last copy at this target became complete, 0: never",
    ),
    (
        "rekindle_backup_target_failures",
        "target",
        "Failed attempts in a row at this target",
    ),
    (
        "rekindle_backup_target_pending",
        "target",
        "Backups on this node without a complete copy at this target",
    ),
];

/// The published value in the text format of `OpenMetrics`.
#[must_use]
pub fn render(published: &Published) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(published.clone())));
    let mut text = String::new();
    // Writing to a String cannot fail; an encoder's own failure leaves a text without its end
    // mark, which a scraper refuses.
    if let Err(error) = encode(&mut text, &registry) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    text
}

#[derive(Debug)]
struct Scrape(Published);

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let report = &*self.0.report;
        let counters = &*self.0.counters;
        let mut out = Out(&mut encoder);
        out.gauges(
            "rekindle_build_info",
            [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        let up = report.sources.iter().map(|source| {
            let up = f64::from(u8::from(source.unknown.is_none()));
            ([("source", source.name.as_str())], up)
        });
        out.gauges("rekindle_source_up", up)?;
        let since = report.sources.iter().map(|source| {
            (
                [("source", source.name.as_str())],
                seconds(source.since_seconds),
            )
        });
        out.gauges("rekindle_source_state_seconds", since)?;
        let by_state = State::ALL.map(|state| {
            let count = report
                .checkpoints
                .iter()
                .filter(|c| c.state == state)
                .count();
            ([("state", state.word())], number(count))
        });
        out.gauges("rekindle_checkpoints", by_state)?;
        let states = report.checkpoints.iter().flat_map(|checkpoint| {
            State::ALL.map(|state| {
                let labels = [
                    ("checkpoint", checkpoint.id.as_str()),
                    ("state", state.word()),
                ];
                (labels, f64::from(u8::from(checkpoint.state == state)))
            })
        });
        out.gauges("rekindle_checkpoint_state", states)?;
        let failures = report.checkpoints.iter().map(|checkpoint| {
            let labels = [("checkpoint", checkpoint.id.as_str())];
            (labels, f64::from(checkpoint.handover_failures))
        });
        out.gauges("rekindle_checkpoint_handover_failures", failures)?;
        out.gauge(
            "rekindle_missing_images",
            number(report.missing_images.len()),
        )?;
        for (name, left) in [
            ("rekindle_operation_running", false),
            ("rekindle_operation_unfinished", true),
        ] {
            let by_kind = OperationKind::ALL.map(|kind| {
                let mut seen = report.operations.iter();
                let is = seen.any(|seen| seen.kind == kind && seen.is_left() == left);
                ([("operation", kind.word())], f64::from(u8::from(is)))
            });
            out.gauges(name, by_kind)?;
        }
        let left = report.hold.as_ref().map(|hold| hold.left(clock::now()));
        let left = left.unwrap_or_default().as_secs_f64();
        out.gauge("rekindle_hold_seconds_left", left)?;
        out.gauge("rekindle_problems", number(report.problems.len()))?;
        out.counters("rekindle_turns_total", [([], counters.turns)])?;
        out.gauge("rekindle_turn_duration_seconds", counters.last_turn_seconds)?;
        let actions = counters.actions.iter().map(|((action, outcome), count)| {
            ([("action", *action), ("outcome", *outcome)], *count)
        });
        out.counters("rekindle_actions_total", actions)?;
        if let Some(gap) = counters.last_handover_seconds {
            out.gauge("rekindle_handover_gap_seconds", gap)?;
        }
        backups::encode(&mut out, &self.0.backups, self.0.tries)?;
        recovery::encode(&mut out, &self.0.recovery)
    }
}

struct Out<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn gauge(&mut self, name: &str, value: f64) -> fmt::Result {
        self.gauges(name, [([], value)])
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let values = values
            .into_iter()
            .map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, name, MetricType::Gauge, values)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let values = values
            .into_iter()
            .map(|(labels, value)| (labels, ConstCounter::new(value)));
        // The encoder adds the suffix of a counter itself.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        self.family(name, stem, MetricType::Counter, values)
    }

    fn family<'l, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        stem: &str,
        kind: MetricType,
        values: impl Iterator<Item = (Labels<'l, N>, M)>,
    ) -> fmt::Result {
        let help = rows().find(|row| row.0 == name).map_or("", |row| row.2);
        let mut family = self.0.encode_descriptor(stem, help, None, kind)?;
        for (labels, metric) in values {
            if N == 0 {
                // Through a family it would be written with empty braces.
                return metric.encode(family);
            }
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Counts and durations here stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn seconds(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "see seconds()")]
fn number(value: usize) -> f64 {
    value as f64
}
