//! The command line of a container: `command` followed by `args`, with the flags in it, which are
//! read and changed in place. A script that a shell is given is taken apart at its spaces.

use k8s_openapi::api::core::v1::Container;

/// Every word, those of a script each by itself.
pub(crate) fn words(container: &Container) -> impl Iterator<Item = &str> {
    let all = container.command.iter().chain(&container.args).flatten();
    all.flat_map(|word| pieces(word))
        .map(|word| word.trim_matches(QUOTES))
}

/// What a shell takes away from around a word.
const QUOTES: [char; 2] = ['"', '\''];

/// The words of a script; any other word is one, spaces and all.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let script = is_script(word);
    let split = word.split(move |c: char| script && (c.is_whitespace() || matches!(c, ';' | '\\')));
    split.filter(|piece| !piece.is_empty())
}

/// Words of a command have no flags after a space; what a shell runs has.
fn is_script(word: &str) -> bool {
    !word.starts_with('-') && (word.contains(" --") || word.contains('\n'))
}

/// The container's flags are in a script that a shell runs.
pub(crate) fn is_wrapped(container: &Container) -> bool {
    let all = container.command.iter().chain(&container.args).flatten();
    all.into_iter().any(|word| is_script(word))
}

/// The flags of `container` with their values, in order. Flags without a value have an empty one.
pub(crate) fn flags(container: &Container) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for word in words(container) {
        if let Some(flag) = word.strip_prefix("--") {
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            open = !flag.contains('=');
            found.push((canonical(name), value.trim_matches(QUOTES).to_owned()));
        } else if open {
            // `--name value`: for a switch, which takes no such value, nobody asks.
            if let Some((_, value)) = found.last_mut() {
                word.clone_into(value);
            }
            open = false;
        }
    }
    found
}

/// The last value of `--name`: with flags that are given twice, the later one is in force.
pub(crate) fn flag(container: &Container, name: &str) -> Option<String> {
    let all = flags(container).into_iter().rev();
    all.into_iter()
        .find(|(flag, _)| flag == name)
        .map(|(_, value)| value)
}

/// Gives every `--name` the value that `new` makes of its old one; `None` leaves it. Returns the
/// pairs that were changed.
pub(crate) fn change(
    container: &mut Container,
    name: &str,
    new: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let mut changed = Vec::new();
    let mut open = false;
    let all = container.command.iter_mut().chain(&mut container.args);
    for word in all.flatten() {
        if is_script(word) {
            change_script(word, name, &new, &mut changed);
        } else if open {
            open = false;
            if let Some(value) = new(word) {
                changed.push((std::mem::replace(word, value.clone()), value));
            }
        } else if let Some(flag) = word.strip_prefix("--") {
            match flag.split_once('=') {
                Some((given, value)) if canonical(given) == name => {
                    if let Some(wanted) = new(value) {
                        changed.push((value.to_owned(), wanted.clone()));
                        *word = format!("--{given}={wanted}");
                    }
                }
                None => open = canonical(flag) == name,
                Some(_) => {}
            }
        }
    }
    changed
}

fn change_script(
    script: &mut String,
    name: &str,
    new: &impl Fn(&str) -> Option<String>,
    changed: &mut Vec<(String, String)>,
) {
    let found: Vec<(String, String)> = pieces(script)
        .filter_map(|piece| {
            let flag = piece.trim_matches(QUOTES).strip_prefix("--")?;
            let (given, value) = flag.split_once('=')?;
            let value = value.trim_matches(QUOTES);
            let wanted = (canonical(given) == name && !value.is_empty()).then(|| new(value))??;
            changed.push((value.to_owned(), wanted.clone()));
            Some((piece.to_owned(), piece.replace(value, &wanted)))
        })
        .collect();
    for (old, new) in found {
        *script = script.replace(&old, &new);
    }
}

/// Puts `flag` behind all others: to `args` where there are any, else to `command`. A command must
/// not begin to exist by this, since it would replace the image's own; false where there is no
/// list to put it to, or a shell would get it instead of the program.
pub(crate) fn append(container: &mut Container, flag: &str) -> bool {
    if is_wrapped(container) {
        return false;
    }
    let filled = |list: &&mut Vec<String>| !list.is_empty();
    let args = container.args.as_mut().filter(filled);
    let Some(list) = args.or_else(|| container.command.as_mut().filter(filled)) else {
        return false;
    };
    list.push(flag.to_owned());
    true
}

/// Kubernetes' programs read `_` in a flag's name as `-`.
/// Source: Kubernetes 1.20 `component-base/cli/flag`, `WordSepNormalizeFunc`.
fn canonical(name: &str) -> String {
    name.replace('_', "-")
}
