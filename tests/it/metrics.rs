//! Metrics: the table in the code is what is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rekindle::daemon::publish::{Counters, Published};
use rekindle::metrics::{OCCASIONAL, TABLE, render};

use crate::api::report;

fn published(handover: Option<f64>) -> Published {
    Published {
        generation: 7,
        report: Arc::new(report()),
        counters: Arc::new(Counters {
            turns: 12,
            last_turn_seconds: 0.25,
            actions: BTreeMap::from([(("write-manifest", "done"), 3)]),
            last_handover_seconds: handover,
        }),
    }
}

#[test]
fn renders_each_row_of_the_table_and_nothing_else() {
    let text = render(&published(Some(1.5)));
    let rendered: BTreeMap<&str, BTreeSet<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            (name, labels.map(|(label, _)| label).collect())
        })
        .collect();
    let table: BTreeMap<&str, BTreeSet<&str>> = TABLE
        .iter()
        .chain(&OCCASIONAL)
        .map(|(name, labels, _)| {
            (
                *name,
                labels.split(", ").filter(|l| !l.is_empty()).collect(),
            )
        })
        .collect();
    assert_eq!(rendered, table, "{text}");
}

#[test]
fn values_are_those_published() {
    let text = render(&published(None));
    for line in [
        "rekindle_source_up{source=\"containerd\"} 1.0",
        "rekindle_source_state_seconds{source=\"containerd\"} 61.0",
        "rekindle_checkpoints{state=\"inactive\"} 1.0",
        "rekindle_checkpoints{state=\"active\"} 0.0",
        "rekindle_checkpoint_state{checkpoint=\"daemonset.kube-system.kube-apiserver\",state=\"inactive\"} 1.0",
        "rekindle_missing_images 0.0",
        "rekindle_turns_total 12",
        "rekindle_turn_duration_seconds 0.25",
        "rekindle_actions_total{action=\"write-manifest\",outcome=\"done\"} 3",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("handover_gap"),
        "nothing was handed over yet: {text}"
    );
}
