//! What a container may use of the machine.

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::security::privileged;
use super::spec::Refusal;
use crate::core::manifest::quantity::nanos;

/// Source: kubelet 1.20 `pkg/kubelet/cm/helpers_linux.go`: `MinShares`, `QuotaPeriod`,
/// `MinQuotaPeriod`, `MilliCPUToShares`, `MilliCPUToQuota`.
const MIN_SHARES: i128 = 2;
const MAX_SHARES: i128 = 262_144;
const PERIOD: i128 = 100_000;
const MIN_QUOTA: i128 = 1000;

/// Limits of processor and memory, and which devices may be used.
pub(super) fn resources(container: &Container) -> Result<Value, Refusal> {
    let all = container.resources.clone().unwrap_or_default();
    let limits = all.limits.unwrap_or_default();
    let requests = all.requests.unwrap_or_default();
    let read = |list: &std::collections::BTreeMap<String, _>, name: &str, unit: i128| {
        let quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            list.get(name);
        let Some(quantity) = quantity else {
            return Ok(None);
        };
        let text = &quantity.0;
        let value = nanos(text).ok_or_else(|| {
            Refusal::new(format!(
                "container {}: {name} {text:?} is no quantity",
                container.name
            ))
        })?;
        Ok(Some((value + unit - 1) / unit))
    };
    let milli = 1_000_000;
    let limit = read(&limits, "cpu", milli)?;
    let request = read(&requests, "cpu", milli)?.or(limit).unwrap_or(0);
    let mut cpu = json!({"shares": clamp(request * 1024 / 1000, MIN_SHARES, MAX_SHARES)});
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        cpu["period"] = json!(clamp(PERIOD, 0, PERIOD));
        cpu["quota"] = json!(clamp(
            limit * PERIOD / 1000,
            MIN_QUOTA,
            i128::from(i64::MAX)
        ));
    }
    let mut memory = json!({});
    if let Some(limit) = read(&limits, "memory", 1_000_000_000)?.filter(|limit| *limit > 0) {
        memory["limit"] = json!(clamp(limit, 0, i128::from(i64::MAX)));
    }
    Ok(json!({
        "devices": [{"allow": privileged(container), "access": "rwm"}],
        "cpu": cpu,
        "memory": memory,
    }))
}

fn clamp(value: i128, least: i128, most: i128) -> i64 {
    i64::try_from(value.clamp(least, most)).unwrap_or(i64::MAX)
}
