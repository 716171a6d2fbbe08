//! The picture of the timeline, drawn as an inline SVG. Colours are classes of the page's style;
//! nothing is told by colour alone.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::layout::{Bar, BarKind, LANE, LEFT, Label, Layout, RIGHT, ROW, TOP, WIDTH, layout};
use super::text::{duration, escaped, extent, fitting, seconds, utc};
use crate::core::recovery::availability::Stretch;
use crate::core::recovery::record::Record;
use crate::core::recovery::view::seconds_between;

/// Size of the font of the rows' names, as in the style.
const NAME_FONT: f64 = 13.0;
/// The same of durations.
const LENGTH_FONT: f64 = 12.0;
/// Nothing is written nearer to an edge.
const EDGE: f64 = 4.0;
/// Between a row's name and where time begins.
const NAME_GAP: f64 = 12.0;

/// The timeline of `record` as it is at `now`.
#[must_use]
pub fn timeline(record: &Record, now: Timestamp) -> String {
    let layout = layout(record, now);
    let rows = layout.bars.len() + 1;
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let (rows, lanes) = (rows as f64, layout.lanes as f64);
    let foot = TOP + rows * ROW + 8.0;
    let height = foot + lanes.max(1.0) * LANE + 22.0;
    let mut out = String::new();
    let said = format!(
        "Timeline of {}, {} long: the API server, the phases, and what happened",
        record.id,
        seconds(seconds_between(layout.from, layout.to)),
    );
    let _ = write!(
        out,
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{}\">\n\
         <defs><pattern id=\"away\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"away-ground\" width=\"7\" height=\"7\"/>\
         <rect class=\"away-line\" width=\"2.5\" height=\"7\"/></pattern></defs>\n",
        escaped(&said)
    );
    axis(&mut out, &layout, foot);
    api(&mut out, &layout);
    for (index, bar) in layout.bars.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let top = TOP + (index + 1) as f64 * ROW;
        row(&mut out, bar, top);
    }
    entered(&mut out, &layout, foot);
    events(&mut out, &layout, foot);
    out.push_str("</svg>\n");
    if layout.left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"note\">{} more are in the tables below and not drawn.</p>",
            layout.left_out
        );
    }
    notes(&mut out, record, &layout);
    out
}

/// What the picture counts from, and what the dashed line is.
fn notes(out: &mut String, record: &Record, layout: &Layout) {
    let at = utc(layout.zero);
    let said = if layout.cut {
        let earlier = seconds(seconds_between(record.suspected_at, record.entered_at));
        format!(
            "0 s, the dashed line: the recovery began, {at}; the loss was first seen {earlier} earlier."
        )
    } else {
        format!("0 s: the loss was first seen, {at}. The dashed line: the recovery began.")
    };
    let _ = writeln!(out, "<p class=\"note\">{said}</p>");
}

fn axis(out: &mut String, layout: &Layout, foot: f64) {
    for (x, at) in &layout.ticks {
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{foot:.1}\"/>\
             <text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            TOP - 8.0,
            TOP - 14.0,
            tick(*at)
        );
    }
}

fn tick(at: i64) -> String {
    let whole = u64::try_from(at).unwrap_or(0);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 if whole % 60 == 0 => format!("{} min", whole / 60),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => seconds(whole),
    }
}

fn name(out: &mut String, text: &str, top: f64) {
    let _ = writeln!(
        out,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - NAME_GAP,
        top + 17.0,
        escaped(&fitting(text, LEFT - NAME_GAP - EDGE, NAME_FONT))
    );
}

fn api(out: &mut String, layout: &Layout) {
    name(out, "API server", TOP);
    for (from, to, stretch) in &layout.api {
        let (class, word) = match stretch.serves {
            Some(true) => ("serves", "serves"),
            Some(false) => ("away", "away"),
            None => ("unknown", "not known"),
        };
        let Stretch {
            from: begin,
            to: end,
            ..
        } = stretch;
        let length = seconds(seconds_between(*begin, *end));
        // What began before the picture is longer than what is seen of it.
        let text = if layout.cut && *begin == layout.from {
            word.to_owned()
        } else {
            format!("{word} {length}")
        };
        let width = (to - from).max(1.0);
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"18\" rx=\"2\"><title>{text}</title></rect>",
            TOP + 4.0
        );
        if width > 90.0 {
            let _ = writeln!(
                out,
                "<text class=\"in-band {class}-text\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{text}</text>",
                from + width / 2.0,
                TOP + 17.0
            );
        }
    }
}

fn row(out: &mut String, bar: &Bar, top: f64) {
    name(out, &bar.what, top);
    let class = match bar.kind {
        BarKind::Detection => "detection",
        BarKind::Phase => "phase",
        BarKind::Failed => "failed",
        BarKind::Running => "running",
    };
    let width = (bar.to - bar.from).max(2.0);
    let length = duration(bar.length);
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"18\" \
         rx=\"2\"><title>{}: {length}</title></rect>",
        bar.from,
        top + 4.0,
        escaped(&bar.what)
    );
    let suffix = match bar.kind {
        BarKind::Running => "…",
        BarKind::Failed => ", failed",
        BarKind::Detection | BarKind::Phase => "",
    };
    let text = format!("{length}{suffix}");
    // Right of the bar, or left of it where the picture ends.
    let (right, needs) = (bar.from + width + 6.0, extent(&text, LENGTH_FONT));
    let (x, anchor) = if right + needs <= WIDTH - EDGE {
        (right, "start")
    } else if bar.from - 6.0 - needs > LEFT {
        (bar.from - 6.0, "end")
    } else {
        (WIDTH - EDGE, "end")
    };
    let _ = writeln!(
        out,
        "<text class=\"length\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
        top + 17.0
    );
}

fn entered(out: &mut String, layout: &Layout, foot: f64) {
    let x = layout.entered;
    let _ = writeln!(
        out,
        "<line class=\"entered\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{foot:.1}\">\
         <title>the recovery began</title></line>",
        TOP - 8.0
    );
}

fn events(out: &mut String, layout: &Layout, foot: f64) {
    let _ = writeln!(
        out,
        "<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{foot:.1}\" y2=\"{foot:.1}\"/>"
    );
    name(out, "what happened", foot - 6.0);
    let line = |label: &Label| {
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let lane = label.lane as f64;
        foot + 14.0 + lane * LANE
    };
    // All lines first, so that no line is drawn over a text.
    for label in &layout.labels {
        let _ = writeln!(
            out,
            "<line class=\"stem\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{foot:.1}\" y2=\"{1:.1}\"/>",
            label.at,
            line(label) + 3.0
        );
    }
    for label in &layout.labels {
        let class = match label.api {
            Some(true) => "dot serves",
            Some(false) => "dot lost",
            None => "dot",
        };
        let (x, anchor) = if label.leftwards {
            (label.at - 5.0, "end")
        } else {
            (label.at + 5.0, "start")
        };
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{foot:.1}\" r=\"4\"/>\
             <text class=\"event\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            label.at,
            line(label) + 3.0,
            escaped(&label.text)
        );
    }
}
