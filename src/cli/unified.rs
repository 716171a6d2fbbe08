//! Differences of two texts in the unified format of `diff -u`.

use std::fmt::Write;

/// Lines around a difference.
const CONTEXT: usize = 3;
/// Above this many compared pairs of lines the middle is shown as replaced whole.
const PAIRS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Old,
    New,
}

/// The differences, or nothing where the texts are equal. Names stand in the two head lines.
#[must_use]
pub fn diff(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let script = script(&old, &new);
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = script
        .iter()
        .skip(at)
        .position(|(side, _)| *side != Side::Both)
    {
        let start = (at + first).saturating_sub(CONTEXT).max(at);
        // A hunk ends where more than twice the context is equal.
        let mut end = at + first;
        let mut equal = 0;
        for (index, (side, _)) in script.iter().enumerate().skip(at + first) {
            equal = if *side == Side::Both { equal + 1 } else { 0 };
            if equal > 2 * CONTEXT {
                break;
            }
            if equal <= CONTEXT {
                end = index + 1;
            }
        }
        if out.is_empty() {
            let _ = write!(out, "--- {old_name}\n+++ {new_name}\n");
        }
        hunk(&mut out, &script, start, end);
        at = end;
    }
    out
}

fn hunk(out: &mut String, script: &[(Side, &str)], start: usize, end: usize) {
    let count = |side: Side, range: &[(Side, &str)]| {
        range
            .iter()
            .filter(|(s, _)| *s == Side::Both || *s == side)
            .count()
    };
    let before = script.get(..start).unwrap_or_default();
    let inside = script.get(start..end).unwrap_or_default();
    let place = |side| {
        let length = count(side, inside);
        // An empty range stands after its line, any other at it.
        let line = count(side, before) + usize::from(length > 0);
        format!("{line},{length}")
    };
    let _ = writeln!(out, "@@ -{} +{} @@", place(Side::Old), place(Side::New));
    for (side, line) in inside {
        let mark = match side {
            Side::Both => ' ',
            Side::Old => '-',
            Side::New => '+',
        };
        let _ = writeln!(out, "{mark}{line}");
    }
}

/// Each line of either text with the side it is on, by the longest common subsequence.
fn script<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Side, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = (old.len().min(new.len())) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let a = old.get(head..old.len() - tail).unwrap_or_default();
    let b = new.get(head..new.len() - tail).unwrap_or_default();
    let both = |lines: &[&'a str]| {
        lines
            .iter()
            .map(|line| (Side::Both, *line))
            .collect::<Vec<_>>()
    };
    let mut script = both(old.get(..head).unwrap_or_default());
    script.extend(middle(a, b));
    script.extend(both(old.get(old.len() - tail..).unwrap_or_default()));
    script
}

fn middle<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(Side, &'a str)> {
    let side = |side: Side, lines: &[&'a str]| -> Vec<(Side, &'a str)> {
        lines.iter().map(|line| (side, *line)).collect()
    };
    if a.len().saturating_mul(b.len()) > PAIRS {
        return [side(Side::Old, a), side(Side::New, b)].concat();
    }
    // longest[i][j]: length of the longest common subsequence of a[i..] and b[j..].
    let width = b.len() + 1;
    let mut longest = vec![0_u32; (a.len() + 1) * width];
    let at = |longest: &[u32], i: usize, j: usize| longest.get(i * width + j).copied().unwrap_or(0);
    for (i, x) in a.iter().enumerate().rev() {
        for (j, y) in b.iter().enumerate().rev() {
            let length = if x == y {
                at(&longest, i + 1, j + 1) + 1
            } else {
                at(&longest, i + 1, j).max(at(&longest, i, j + 1))
            };
            if let Some(cell) = longest.get_mut(i * width + j) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut script = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            script.push((Side::Both, *x));
            (i, j) = (i + 1, j + 1);
        } else if at(&longest, i + 1, j) >= at(&longest, i, j + 1) {
            script.push((Side::Old, *x));
            i += 1;
        } else {
            script.push((Side::New, *y));
            j += 1;
        }
    }
    script.extend(side(Side::Old, a.get(i..).unwrap_or_default()));
    script.extend(side(Side::New, b.get(j..).unwrap_or_default()));
    script
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn equal_texts_differ_in_nothing() {
        assert_eq!(diff("a", "x\ny\n", "b", "x\ny\n"), "");
        assert_eq!(diff("a", "", "b", ""), "");
    }

    #[test]
    fn as_diff_u_prints_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n";
        let new = "1\n2\nthree\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n16\n17\n18\n";
        let expected = "--- a\n+++ b\n@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+three\n 4\n 5\n 6\n\
                        @@ -12,6 +12,6 @@\n 12\n 13\n 14\n-15\n 16\n 17\n+18\n";
        assert_eq!(diff("a", old, "b", new), expected);
        assert_eq!(
            diff("a", "", "b", "x\n"),
            "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n"
        );
        assert_eq!(
            diff("a", "x\n", "b", ""),
            "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-x\n"
        );
    }
}
