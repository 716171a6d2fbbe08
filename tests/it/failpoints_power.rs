//! C11, the power cut itself: what a disk holds when everything that was not fsynced is lost.
//!
//! The journey of [`super::failpoints`] runs on ext4 on a loop device and is killed; what reached
//! the device by then is copied while the file system is still mounted, so that nothing in its
//! cache counts, and mounted elsewhere. Needs `--features failpoints`, root and loop devices.

use std::path::Path;
use std::process::Command;

use rekindle::failpoints;

use crate::failpoints::{arrives, steps, travel_until};
use crate::small_disk::inside;

#[track_caller]
pub fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
}

/// Mounted for as long as this lives. No commit of its own by the clock: only fsync counts.
pub struct Mounted<'a>(&'a str);

impl<'a> Mounted<'a> {
    pub fn at(image: &str, path: &'a str) -> Self {
        run("mount", &["-o", "loop,commit=600", image, path]);
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn c11_a_power_cut_at_any_step_loses_nothing_that_was_acknowledged() {
    let name = "failpoints_power::c11_a_power_cut_at_any_step_loses_nothing_that_was_acknowledged";
    let Some(disk) = inside(name, "128m") else {
        return;
    };
    let [fresh, image, cut_image, running, after] =
        ["fresh.img", "disk.img", "cut.img", "running", "after"]
            .map(|name| disk.join(name).into_os_string().into_string().unwrap());
    run("truncate", &["-s", "16M", &fresh]);
    run("mkfs.ext4", &["-q", "-F", &fresh]);
    for path in [&running, &after] {
        std::fs::create_dir(path).unwrap();
    }
    let mut cuts = 0;
    for point in failpoints::ALL {
        for time in [1, 2, 4, 7] {
            run("cp", &["--sparse=always", &fresh, &image]);
            let before = Mounted::at(&image, &running);
            let steps = steps(Path::new(&running));
            let Some(cut) = travel_until(Path::new(&running), point, time) else {
                break;
            };
            run("cp", &["--sparse=always", &image, &cut_image]);
            drop(before);
            let _left = Mounted::at(&cut_image, &after);
            if !Path::new(&after).join("state/staging").exists() {
                // Cut off in the preparation, before anything was acknowledged.
                assert_eq!(cut, 0, "{point}:{time}");
                continue;
            }
            println!("{point}:{time} in step {cut}, {:?}", steps[cut]);
            // Made by the test, not by us: it may be lost.
            std::fs::create_dir_all(Path::new(&after).join("manifests")).unwrap();
            arrives(Path::new(&after), &steps, cut);
            cuts += 1;
        }
    }
    println!("{cuts} power cuts");
    assert!(cuts > 80, "only {cuts} power cuts");
}
