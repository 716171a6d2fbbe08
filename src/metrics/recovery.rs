//! The metrics of recovery mode, from the published report.

use std::fmt;

use super::{Out, number, seconds};
use crate::core::recovery::loss::{Condition, Loss};
use crate::core::recovery::part::Part;
use crate::core::recovery::view::RecoveryReport;

/// Those that are always there: name, labels, meaning.
pub(super) const TABLE: [(&str, &str, &str); 11] = [
    (
        "rekindle_control_plane_condition",
        "condition",
        "1 for the condition that the control plane is in",
    ),
    (
        "rekindle_control_plane_condition_seconds",
        "",
        "How long it has been so",
    ),
    (
        "rekindle_control_plane_suspected",
        "loss",
        "1 while this loss is suspected or confirmed",
    ),
    (
        "rekindle_control_plane_lost",
        "loss",
        "1 while this loss is confirmed",
    ),
    (
        "rekindle_control_plane_troubles",
        "part",
        "What does not work of this part and is no loss",
    ),
    (
        "rekindle_recovery_automatic",
        "",
        "1 where recoveries begin without asking, else 0",
    ),
    (
        "rekindle_recovery_held",
        "",
        "1 while an operator holds everything automatic",
    ),
    (
        "rekindle_recovery_latched",
        "",
        "1 while nothing automatic is done until an operator has looked",
    ),
    (
        "rekindle_recovery_blockers",
        "",
        "What stands in the way of a recovery, if one were needed now",
    ),
    (
        "rekindle_recovery_running",
        "",
        "1 while a recovery is under way",
    ),
    (
        "rekindle_recovery_runs_total",
        "outcome",
        "Ended recoveries, since the log of them began",
    ),
];

/// Those that are there only once there is something to tell.
pub(super) const OCCASIONAL: [(&str, &str, &str); 7] = [
    (
        "rekindle_recovery_running_seconds",
        "",
        "How long the recovery has been under way",
    ),
    (
        "rekindle_recovery_last_timestamp_seconds",
        "",
        "When the last recovery ended",
    ),
    (
        "rekindle_recovery_last_success",
        "",
        "1 where it brought the control plane back or was not needed, else 0",
    ),
    (
        "rekindle_recovery_last_duration_seconds",
        "",
        "How long it took",
    ),
    (
        "rekindle_recovery_last_lost_seconds",
        "",
        "Data lost by it, in time, where that is known",
    ),
    (
        "rekindle_recovery_predicted_duration_seconds",
        "",
        "How long a recovery would take, if one were needed now",
    ),
    (
        "rekindle_recovery_predicted_lost_seconds",
        "",
        "Data that it would lose, in time",
    ),
];

/// Writes every metric of recovery mode.
pub(super) fn encode(out: &mut Out<'_, '_>, report: &RecoveryReport) -> fmt::Result {
    let truth = |so: bool| f64::from(u8::from(so));
    let conditions = Condition::ALL.map(|condition| {
        let so = truth(condition == report.condition);
        ([("condition", condition.word())], so)
    });
    out.gauges("rekindle_control_plane_condition", conditions)?;
    out.gauge(
        "rekindle_control_plane_condition_seconds",
        seconds(report.since_seconds),
    )?;
    for (name, confirmed) in [
        ("rekindle_control_plane_suspected", false),
        ("rekindle_control_plane_lost", true),
    ] {
        let losses = Loss::ALL.map(|loss| {
            let mut seen = report.losses.iter();
            let so = seen.any(|seen| seen.loss == loss && (seen.confirmed || !confirmed));
            ([("loss", loss.word())], truth(so))
        });
        out.gauges(name, losses)?;
    }
    let troubles = Part::ALL.map(|part| {
        let of_part = report.troubles.iter().filter(|it| it.part == part);
        ([("part", part.name())], number(of_part.count()))
    });
    out.gauges("rekindle_control_plane_troubles", troubles)?;
    for (name, value) in [
        ("rekindle_recovery_automatic", truth(report.automatic)),
        ("rekindle_recovery_held", truth(report.held.is_some())),
        ("rekindle_recovery_latched", truth(report.latched.is_some())),
        ("rekindle_recovery_blockers", number(report.blockers.len())),
        ("rekindle_recovery_running", truth(report.running.is_some())),
    ] {
        out.gauge(name, value)?;
    }
    let ended = report.ended.by_word();
    let ended = ended.map(|(word, count)| ([("outcome", word)], count));
    out.counters("rekindle_recovery_runs_total", ended)?;
    occasional(out, report)
}

/// What is there only once there is something to tell.
fn occasional(out: &mut Out<'_, '_>, report: &RecoveryReport) -> fmt::Result {
    let running = report.running.as_ref();
    let last = report.last.as_ref();
    let chosen = report.chosen.as_ref();
    let success = |it: &crate::core::recovery::view::Last| u64::from(it.outcome.why().is_none());
    let ended_at = |it: &crate::core::recovery::view::Last| {
        u64::try_from(it.ended_at.as_second()).unwrap_or(0)
    };
    for (name, value) in [
        (
            "rekindle_recovery_running_seconds",
            running.map(|it| it.elapsed_seconds),
        ),
        (
            "rekindle_recovery_last_timestamp_seconds",
            last.map(ended_at),
        ),
        ("rekindle_recovery_last_success", last.map(success)),
        (
            "rekindle_recovery_last_duration_seconds",
            last.map(|it| it.took_seconds),
        ),
        (
            "rekindle_recovery_last_lost_seconds",
            last.and_then(|it| it.lost_seconds),
        ),
        (
            "rekindle_recovery_predicted_duration_seconds",
            chosen.and_then(|it| it.takes_seconds),
        ),
        (
            "rekindle_recovery_predicted_lost_seconds",
            chosen.and_then(|it| it.loss_seconds),
        ),
    ] {
        if let Some(value) = value {
            out.gauge(name, seconds(value))?;
        }
    }
    Ok(())
}
