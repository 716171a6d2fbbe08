//! `$(NAME)` in commands, arguments and environments, and how to keep a value from it.
//! Source: Kubernetes 1.20 `third_party/forked/golang/expansion/expand.go`.

/// Replaces each `$(NAME)` of `input` by what `value_of` says; an unknown name stays as it is
/// written, `$$` becomes `$`, any other `$` stays.
pub fn expand<'v>(input: &str, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            if let Some(value) = value_of(name) {
                output.push_str(value);
            } else {
                output.extend(["$(", name, ")"]);
            }
            rest = after;
        } else {
            output.push('$');
        }
    }
    output.push_str(rest);
    output
}

/// A text that [`expand`] turns back into `value`, whatever variables there are.
#[must_use]
pub fn literal(value: &str) -> String {
    value.replace('$', "$$")
}
