//! B02, the power cut itself: what a disk holds of backups, index and data directory when
//! everything that was not fsynced is lost. As [`super::failpoints_power`], with the journey of
//! [`super::failpoints_backup`]. Needs `--features failpoints`, root and loop devices.

use std::path::Path;

use rekindle::failpoints;

use crate::failpoints_backup::{Traveller, prepare, travel_until};
use crate::failpoints_power::{Mounted, run};
use crate::small_disk::inside;

#[test]
fn b02_a_power_cut_at_any_step_loses_no_backup_that_was_acknowledged() {
    let name = "failpoints_backup_power::b02_a_power_cut_at_any_step_loses_no_backup_that_was_acknowledged";
    let Some(disk) = inside(name, "512m") else {
        return;
    };
    let [fresh, image, cut_image, running, after] =
        ["fresh.img", "disk.img", "cut.img", "running", "after"]
            .map(|name| disk.join(name).into_os_string().into_string().unwrap());
    // Room for the log that an etcd would allocate; it takes none here.
    run("truncate", &["-s", "300M", &fresh]);
    run("mkfs.ext4", &["-q", "-F", "-J", "size=4", &fresh]);
    for path in [&running, &after] {
        std::fs::create_dir(path).unwrap();
    }
    let mounted = Mounted::at(&fresh, &running);
    std::fs::remove_dir(Path::new(&running).join("lost+found")).unwrap();
    prepare(Path::new(&running));
    drop(mounted);
    let ours = ["stream.", "bundle.", "index.", "restore.", "durable.rename"];
    let mut cuts = 0;
    for point in failpoints::ALL {
        if !ours.iter().any(|prefix| point.starts_with(prefix)) {
            continue;
        }
        for time in [1, 2, 4, 8] {
            run("cp", &["--sparse=always", &fresh, &image]);
            let before = Mounted::at(&image, &running);
            let Some(done) = travel_until(Path::new(&running), point, time) else {
                break;
            };
            run("cp", &["--sparse=always", &image, &cut_image]);
            drop(before);
            let _left = Mounted::at(&cut_image, &after);
            println!("{point}:{time} after {done:?}");
            let traveller = Traveller::new(Path::new(&after));
            traveller.look(&done);
            traveller.travel();
            traveller.arrived();
            cuts += 1;
        }
    }
    println!("{cuts} power cuts");
    assert!(cuts > 40, "only {cuts} power cuts");
}
