//! The page of a recovery: whole in itself, true to its record, and safe whatever that holds.

use jiff::SignedDuration;
use rekindle::core::recovery::availability::{seconds_away, stretches};
use rekindle::core::recovery::page::text::extent;
use rekindle::core::recovery::page::{render, svg};
use rekindle::core::recovery::record::{Outcome, Record};

use crate::recovery_samples::{after, hostile, restored, running, zero};

/// For people to look at: `target/tmp/recovery-*.html`.
fn keep(name: &str, page: &str) {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/recovery-");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(format!("{path}{name}.html"), page).unwrap();
}

/// Names of the elements in their order, and whether each is closed as often as it is opened.
fn elements(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap();
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if tag.starts_with('!') || tag.ends_with('/') || name == "meta" {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_ref(), Some(&name), "{tag}");
        } else {
            open.push(name.clone());
            all.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    all
}

#[test]
fn the_page_tells_what_was_lost_what_was_done_and_what_it_cost() {
    let record = restored();
    let page = render(&record, after(60_000), "1.2.3");
    keep("restored", &page);
    for told in [
        "The control plane was brought back in 45 s",
        "<dt>Lost</dt><dd>etcd-quorum</dd>",
        "<dt>Way back</dt><dd>backup</dd>",
        "<dt>Took</dt><dd>45 s<small>and 12 s to detect it</small></dd>",
        "<dt>Without API server</dt><dd>38 s</dd>",
        "<dd>11 min 0 s<small>",
        "begun 2026-11-25 09:30:12 UTC by itself",
        "restoring the snapshot",
        "+14 s",
        "/var/lib/etcd.before-20261125T093012Z-master1",
        "left: the kubelet ends it by itself",
        "Written by Rekindle 1.2.3 at 2026-11-25 09:31:00 UTC",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    for text in record.evidence.iter().chain(&record.plan) {
        assert!(page.contains(text.as_str()), "{text}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = render(&restored(), after(60_000), "1.2.3");
    let found = elements(&page);
    for foreign in [
        "script", "link", "img", "iframe", "object", "use", "image", "a",
    ] {
        assert!(!found.iter().any(|name| name == foreign), "{foreign}");
    }
    let style = page.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    for foreign in ["@import", "url(h", "url('", "url(\"", "@font-face"] {
        assert!(!style.contains(foreign), "{foreign}");
    }
    for attribute in [" src=", " href=", "xlink"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn nothing_in_a_record_breaks_out_of_its_place() {
    let page = render(&hostile(), after(60_000), "<b>\"");
    keep("hostile", &page);
    let plain = elements(&render(&restored(), after(60_000), "1"));
    let same: Vec<String> = elements(&page);
    let distinct =
        |all: &[String]| -> std::collections::BTreeSet<String> { all.iter().cloned().collect() };
    assert_eq!(
        distinct(&same),
        distinct(&plain),
        "an element of the record's"
    );
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("alert('x')"));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    assert!(
        page.contains("&amp;amp;"),
        "what looks escaped is escaped, too"
    );
    let steering = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!page.contains(steering));
}

#[test]
fn a_recovery_under_way_and_those_that_ended_otherwise_are_told_as_such() {
    let page = render(&running(), after(33_000), "1");
    keep("running", &page);
    elements(&page);
    for told in [
        "class=\"badge running\"",
        "The recovery is under way for 21 s",
        "5.1 s, goes on",
        "not known yet",
        "class=\"running\"",
    ] {
        assert!(page.contains(told), "{told}");
    }
    let ended = |outcome: Outcome| {
        let mut record = restored();
        record.outcome = Some(outcome);
        render(&record, after(60_000), "1")
    };
    let failed = ended(Outcome::Failed("etcd does not start".to_owned()));
    keep("failed", &failed);
    assert!(failed.contains("The recovery failed after 45 s: etcd does not start"));
    assert!(failed.contains("rect class=\"failed\"") && failed.contains(", failed</text>"));
    let unneeded = ended(Outcome::Unneeded);
    assert!(unneeded.contains("came back by itself within 45 s"));
    let abandoned = ended(Outcome::Abandoned("wrong node".to_owned()));
    assert!(abandoned.contains("An operator ended the recovery after 45 s: wrong node"));
}

#[test]
fn clocks_that_jump_and_records_without_anything_make_a_picture_all_the_same() {
    let mut odd = restored();
    odd.suspected_at = after(900_000_000);
    odd.ended_at = Some(after(-5000));
    let mut empty = restored();
    (empty.phases, empty.events) = (Vec::new(), Vec::new());
    (empty.losses, empty.evidence) = (Vec::new(), Vec::new());
    empty.ended_at = Some(empty.suspected_at);
    empty.entered_at = empty.suspected_at;
    let mut crowded = restored();
    let events = crowded.events.clone();
    for _ in 0..20 {
        crowded.events.extend(events.clone());
    }
    for record in [odd, empty, crowded] {
        let page = render(&record, after(60_000), "1");
        keep("odd", &page);
        elements(&page);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        let negative = page.contains("width=\"-") || page.contains("cx=\"-");
        assert!(!negative, "{page}");
        assert!(page.len() < 300_000);
    }
}

#[test]
fn hours_of_waiting_for_an_operator_do_not_hide_the_recovery() {
    let mut record = restored();
    record.suspected_at = zero() - SignedDuration::from_hours(3);
    let picture = svg::timeline(&record, after(60_000));
    assert!(picture.contains("the loss was first seen 3 h 0 min earlier"));
    keep("long", &render(&record, after(60_000), "1"));
}

#[test]
fn availability_is_what_the_events_tell() {
    let told = |record: &Record| -> Vec<(Option<bool>, i64)> {
        let all = stretches(record, zero(), after(57_200));
        let length = |it: &rekindle::core::recovery::availability::Stretch| {
            it.to.duration_since(it.from).as_secs()
        };
        all.iter().map(|it| (it.serves, length(it))).collect()
    };
    let record = restored();
    assert_eq!(
        told(&record),
        [(Some(false), 38), (Some(true), 18)],
        "away from the first suspicion on: the first look is no change"
    );
    assert_eq!(seconds_away(&record, after(57_200)), Some(38));
    let mut silent = restored();
    for event in &mut silent.events {
        event.api = None;
    }
    assert_eq!(told(&silent), [(None, 57)]);
    assert_eq!(seconds_away(&silent, after(57_200)), None);
}

/// Each text of the picture: where it begins and ends at the widest, in the picture's units.
fn texts(picture: &str) -> Vec<(f64, f64, String)> {
    let size = |class: &str| match class.split(' ').next().unwrap() {
        "name" => 13.0,
        "axis" => 11.0,
        "length" => 12.0,
        _ => 11.5,
    };
    let of = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next().unwrap().to_owned())
    };
    let all = picture.split("<text ").skip(1).map(|piece| {
        let (tag, rest) = piece.split_once('>').unwrap();
        let text = rest.split('<').next().unwrap().to_owned();
        let shown = text.replace("&gt;", ">").replace("&quot;", "\"");
        let shown = shown
            .replace("&#39;", "'")
            .replace("&amp;", "&")
            .replace("&lt;", "<");
        let at: f64 = of(tag, " x").unwrap().parse().unwrap();
        let width = extent(&shown, size(&of(tag, "class").unwrap()));
        let from = match of(tag, "text-anchor").as_deref() {
            Some("end") => at - width,
            Some("middle") => at - width / 2.0,
            _ => at,
        };
        (from, from + width, text)
    });
    all.collect()
}

#[test]
fn no_text_of_the_picture_is_cut_off_at_an_edge() {
    let mut long = restored();
    long.phases[0].what = "putting back the static manifest of kube-controller-manager".to_owned();
    long.phases[1].what = "M".repeat(80);
    long.phases[2].what = "\u{754c}".repeat(80);
    long.phases[3].what = "running a temporary control plane".to_owned();
    for (at, event) in long.events.iter_mut().enumerate() {
        event.what = ["W", "\u{1f525}", "a word and "][at % 3].repeat(60);
    }
    keep("wide", &render(&long, after(60_000), "1"));
    for record in [restored(), running(), hostile(), long] {
        let picture = svg::timeline(&record, after(60_000));
        let found = texts(&picture);
        assert!(found.len() > 10, "{picture}");
        for (from, to, text) in found {
            assert!(from >= 0.0 && to <= 1040.0, "{from} to {to}: {text}");
        }
    }
    // A name that has room is told in full.
    let mut short = restored();
    short.phases[0].what = "running a temporary control plane".to_owned();
    let picture = svg::timeline(&short, after(60_000));
    assert!(picture.contains(">running a temporary control plane</text>"));
}
