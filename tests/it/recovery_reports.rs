//! What recoveries leave on the disk: records, pages and the chained log.

use std::path::Path;

use rekindle::core::recovery::record::Outcome;
use rekindle::recovery::report::chain::{Kind, Told};
use rekindle::recovery::report::{KEPT, Reports};

use crate::recovery_samples::{after, restored, running};
use crate::store_samples::{names, overwrite};

pub fn told(kind: Kind, text: &str) -> Told {
    Told {
        at: after(0),
        node: "master1".to_owned(),
        kind,
        id: Some("20261125T093012Z-master1".to_owned()),
        outcome: (kind == Kind::Ended).then(|| "recovered".to_owned()),
        text: text.to_owned(),
    }
}

fn log_path(dir: &Path) -> std::path::PathBuf {
    dir.join("recovery/log")
}

/// A log of five lines.
fn logged(dir: &Path) -> Reports {
    let reports = Reports::new(dir);
    reports.save(&running(), after(0)).unwrap();
    for n in 1..=5 {
        let kind = [Kind::Begun, Kind::Ended][n % 2];
        let appended = reports
            .log()
            .append(&told(kind, &format!("line {n}")))
            .unwrap();
        assert_eq!(appended.repaired, None);
    }
    reports
}

#[test]
fn a_record_is_read_back_and_damage_is_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let reports = Reports::new(dir.path());
    assert!(reports.all().unwrap().records.is_empty());
    assert_eq!(reports.find("20261125T093012Z-master1").unwrap(), None);
    let mut record = running();
    reports.save(&record, after(0)).unwrap();
    assert!(!reports.page_of(&record.id).exists(), "it has not ended");
    record.outcome = Some(Outcome::Failed("no room".to_owned()));
    reports.save(&record, after(60_000)).unwrap();
    assert_eq!(reports.find(&record.id).unwrap(), Some(record.clone()));
    let page = std::fs::read_to_string(reports.page_of(&record.id)).unwrap();
    assert!(page.contains("no room"));
    reports.save(&restored(), after(60_000)).unwrap();
    let found = reports.all().unwrap();
    assert_eq!(found.records, [record.clone(), restored()], "newest first");

    let path = dir
        .path()
        .join(format!("recovery/records/{}.json", record.id));
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("no room", "no rOOm");
    overwrite(&path, text.as_bytes());
    assert!(reports.find(&record.id).is_err());
    let found = reports.all().unwrap();
    assert_eq!(found.records, [restored()]);
    assert!(found.damaged[0].contains("digest"), "{:?}", found.damaged);
    for id in ["../../etc/passwd", "", ".", "a/b", "x\n"] {
        assert!(reports.find(id).is_err(), "{id}");
        let mut record = restored();
        record.id = id.to_owned();
        assert!(reports.save(&record, after(0)).is_err(), "{id}");
    }
}

#[test]
fn the_newest_are_kept_and_the_one_just_written_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let reports = Reports::new(dir.path());
    for n in 0..KEPT + 5 {
        let mut record = restored();
        record.id = format!("20261125T0930{n:02}Z-master1");
        reports.save(&record, after(0)).unwrap();
    }
    let mut early = restored();
    early.id = "19700101T000000Z-master1".to_owned();
    reports.save(&early, after(0)).unwrap();
    let found = reports.all().unwrap().records;
    assert_eq!(found.len(), KEPT + 1);
    assert_eq!(found[0].id, "20261125T093054Z-master1");
    assert_eq!(found[KEPT].id, early.id);
    let pages = names(&dir.path().join("recovery/pages"));
    assert_eq!(pages.len(), KEPT + 1, "{pages:?}");
}

#[test]
fn the_log_is_whole_and_counts_what_ended() {
    let dir = tempfile::tempdir().unwrap();
    let reports = logged(dir.path());
    let verified = reports.log().verify().unwrap();
    assert_eq!(
        (verified.lines, &verified.broken, verified.cut_off),
        (5, &None, false)
    );
    let ended = reports.log().ended().unwrap();
    assert_eq!((ended.recovered, ended.failed), (3, 0));
    let texts: Vec<String> = reports
        .log()
        .lines()
        .unwrap()
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert_eq!(texts, ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    let last = reports
        .log()
        .append(&told(Kind::Decision, &"ä".repeat(9000)))
        .unwrap();
    let verified = reports.log().verify().unwrap();
    assert_eq!((verified.lines, verified.digest), (6, last.digest));
}

#[test]
fn the_first_broken_link_is_named() {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, Change, u64, &str); 6] = [
        (
            "a word",
            |all| all[2] = all[2].replace("line 3", "line X"),
            3,
            "digest",
        ),
        ("left out", |all| drop(all.remove(1)), 2, "does not follow"),
        ("moved", |all| all.swap(3, 4), 4, "does not follow"),
        (
            "doubled",
            |all| all.insert(1, all[0].clone()),
            2,
            "does not follow",
        ),
        (
            "no line",
            |all| all[4] = "hello".to_owned(),
            5,
            "no line of a log",
        ),
        (
            "first left out",
            |all| drop(all.remove(0)),
            1,
            "does not follow",
        ),
    ];
    for (name, change, line, why) in changes {
        let dir = tempfile::tempdir().unwrap();
        let reports = logged(dir.path());
        let path = log_path(dir.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        overwrite(&path, (lines.join("\n") + "\n").as_bytes());
        let broken = reports.log().verify().unwrap().broken.unwrap();
        assert_eq!(broken.line, line, "{name}: {broken:?}");
        assert!(broken.why.contains(why), "{name}: {broken:?}");
        // It goes on all the same, and the break stays named.
        reports.log().append(&told(Kind::Begun, "later")).unwrap();
        let verified = reports.log().verify().unwrap();
        assert_eq!(verified.broken.unwrap().line, line, "{name}");
        let last = reports.log().lines().unwrap().pop().unwrap();
        assert_eq!(last.text, "later");
    }
}

#[test]
fn a_cut_off_last_line_is_removed_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let reports = logged(dir.path());
    let path = log_path(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let start = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for cut in [start + 1, start + 40, whole.len() - 1] {
        overwrite(&path, &whole[..cut]);
        let verified = reports.log().verify().unwrap();
        assert_eq!(
            (verified.lines, &verified.broken, verified.cut_off),
            (4, &None, true)
        );
        let appended = reports.log().append(&told(Kind::Ended, "again")).unwrap();
        assert!(appended.repaired.unwrap().contains("cut off"));
        let verified = reports.log().verify().unwrap();
        assert_eq!(
            (verified.lines, verified.broken, verified.cut_off),
            (5, None, false)
        );
    }
    // Something that was never a line of ours is left where it is, and named.
    overwrite(&path, &[whole.clone(), vec![b'x'; 200 << 10]].concat());
    let appended = reports.log().append(&told(Kind::Ended, "behind")).unwrap();
    assert_eq!(appended.repaired, None);
    let verified = reports.log().verify().unwrap();
    assert_eq!(verified.broken.unwrap().line, 6);
    assert_eq!(reports.log().lines().unwrap().pop().unwrap().text, "behind");
}
