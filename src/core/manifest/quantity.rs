//! Kubernetes' resource quantities, as far as the downward API needs them.
//! Source: Kubernetes 1.20 `apimachinery/pkg/api/resource` and `pkg/api/v1/resource/helpers.go`.

/// Billionths, the smallest unit a quantity can have.
const NANO: i128 = 1_000_000_000;

/// Reads a quantity such as `100m`, `1.5Gi`, `2e3` in billionths. `None` where it is none, is
/// negative, or is beyond 64 bits.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 19 || fraction.len() > 9 {
        return None;
    }
    let digits = |text: &str| -> Option<i128> {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse().ok()
        }
    };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mantissa = digits(whole)?
        .checked_mul(scale)?
        .checked_add(digits(fraction)?)?;
    let (times, over) = factor(suffix)?;
    let value = mantissa.checked_mul(NANO)?.checked_mul(times)?;
    let nanos = divide_up(value, over.checked_mul(scale)?)?;
    (nanos <= i128::from(i64::MAX) * NANO).then_some(nanos)
}

/// How many `divisor`s (0 counts as 1) are in `quantity`, rounded up, both rounded up first to
/// `unit` billionths: what the kubelet writes for a `resourceFieldRef`.
pub(super) fn in_divisors(quantity: i128, divisor: i128, unit: i128) -> Option<i128> {
    let divisor = if divisor == 0 { NANO } else { divisor };
    divide_up(divide_up(quantity, unit)?, divide_up(divisor, unit)?)
}

fn divide_up(value: i128, by: i128) -> Option<i128> {
    value.checked_add(by)?.checked_sub(1)?.checked_div(by)
}

/// Multiplier and divisor of a suffix.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            if !(-9..=18).contains(&exponent) {
                return None;
            }
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}
