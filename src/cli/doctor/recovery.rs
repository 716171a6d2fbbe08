//! What `doctor` says of recovery: if it died now, which way, how long, what loss, what stands in
//! the way.

use crate::api::wire::Plans;
use crate::cli::ask::{Places, wait_for};
use crate::cli::exit::Failure;
use crate::cli::output::Out;
use crate::cli::recovery_mode::plans::known;
use crate::core::doctor::{Finding, Severity};
use crate::core::recovery::plan::Plan;

/// The findings; none where the daemon does not answer, which is a finding of its own.
pub(super) fn findings(places: &Places, out: &mut Out) -> Result<Vec<Finding>, Failure> {
    let say = |line: &str| out.note(line);
    let asked = wait_for(known(places.socket(), "/v1/recovery-mode/plan", say))?;
    let Ok(Plans { plans, .. }) = asked else {
        return Ok(Vec::new());
    };
    let mut found: Vec<Finding> = plans.iter().map(of).collect();
    // The same for every loss.
    let mut warnings: Vec<&String> = plans.iter().flat_map(|plan| &plan.warnings).collect();
    warnings.sort();
    warnings.dedup();
    found.extend(
        warnings
            .into_iter()
            .map(|warning| finding(Severity::Warn, warning.clone())),
    );
    Ok(found)
}

fn finding(severity: Severity, what: String) -> Finding {
    Finding::new("recovery", severity, what)
}

fn of(plan: &Plan) -> Finding {
    let lost = format!("if {} were lost now", plan.loss.said());
    let way = |rung| plan.rungs.iter().find(|way| way.rung == rung);
    let blocked = || {
        let ways = plan.rungs.iter();
        let told = ways.map(|way| format!("{}: {}", way.rung, way.blockers.join(", ")));
        told.collect::<Vec<_>>().join("; ")
    };
    let open = plan.rungs.iter().find(|way| way.is_open());
    match (plan.chosen.and_then(way), open) {
        (Some(way), _) => finding(
            Severity::Ok,
            format!(
                "{lost}: {}, by itself, in about {} s, losing {}",
                way.rung, way.takes_seconds, way.loses
            ),
        ),
        (None, Some(way)) => finding(
            Severity::Warn,
            format!(
                "{lost}: {}, in about {} s, losing {}, once an operator asks: {}",
                way.rung,
                way.takes_seconds,
                way.loses,
                plan.refusals.join("; ")
            ),
        )
        .hint(
            "`rekindle recovery-mode plan` shows every way; recovery.* keys say what is automatic",
        ),
        (None, None) => finding(
            Severity::Fail,
            format!("{lost}: no way back: {}", blocked()),
        )
        .hint("`rekindle recovery-mode plan` shows what each way lacks"),
    }
}
