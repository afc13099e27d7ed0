//! Disks that are full, folders that cannot be written, names that lead elsewhere.

use std::{fs, process::Command};

use huacaya_hub::{Error, FileName, Wanted};
use huacaya_loopback::Fault;

use crate::{
    child,
    setting::{BYTES, FILE, Setting, names, setting},
};

/// Runs the transfer in a mount namespace of its own, onto a disk in memory mounted with `options`, with another program
/// `beside` it; none where this system lets us mount nothing. Says what the child said and what is on the disk then.
fn on_a_disk(setting: &Setting, options: &str, beside: &str) -> Option<(String, Vec<String>)> {
    let disk = setting.folder().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let fetch = child::command(&Wanted { place: disk.join(FILE), ..setting.wanted() });
    let mut command = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o {options} none \"$DISK\" || exit 77");
    let script = format!("{mount}\n{beside}\n\"$@\"\necho; echo LEFT; ls -A \"$DISK\"");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(fetch.get_program()).args(fetch.get_args());
    command.envs(fetch.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("DISK", &disk);
    let output = command.output().ok()?;
    if !output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("LEFT") {
        println!("skipped: no disk of our own can be mounted: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let left = text.split_once("\nLEFT\n").map_or("", |(_, left)| left);
    Some((child::said(&output.stdout), left.lines().map(str::to_owned).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_is_named_before_the_first_byte() {
    let setting = setting();
    let Some((said, left)) = on_a_disk(&setting, "size=20m", "") else { return };
    assert!(said.starts_with("DiskFull"), "{said}");
    assert!(said.contains(&format!("needed: {BYTES}")), "{said}");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(setting.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_midway_is_named_too() {
    let setting = setting();
    let greedy = "(sleep 0.5; head -c 70000000 /dev/zero > \"$DISK/other\") > /dev/null 2>&1 &";
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 6 << 20 });
    let Some((said, left)) = on_a_disk(&setting, "size=80m", greedy) else { return };
    if said == setting.content.sha256() {
        println!("the room was taken before the other program came");
        return;
    }
    assert!(said.starts_with("DiskFull"), "{said}");
    assert!(!left.iter().any(|name| name == FILE), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_is_named() {
    let setting = setting();
    let Some((said, left)) = on_a_disk(&setting, "ro", "") else { return };
    assert!(said.starts_with("Io") && said.contains("eadOnly"), "{said}");
    assert!(left.is_empty());
    assert_eq!(setting.sent(), 0, "nothing is fetched that cannot be kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_under_a_file_is_no_place() {
    let setting = setting();
    fs::write(setting.folder().join("file"), "in the way").unwrap();
    let wanted = Wanted { place: setting.folder().join("file/model.gguf"), ..setting.wanted() };
    let error = setting.fetch_it(&wanted).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(names(&setting.folder()), ["file"]);
    assert_eq!(setting.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_yet_is_made() {
    let setting = setting();
    let wanted = Wanted { place: setting.folder().join("team--model/deep/model.gguf"), ..setting.wanted() };
    setting.fetch_it(&wanted).await.unwrap();
    assert!(wanted.place.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_that_is_accepted_can_be_fetched() {
    let setting = setting();
    let longest = (1..=255)
        .rev()
        .map(|length| "名".repeat(length / 3) + &"x".repeat(length % 3))
        .find_map(|name| FileName::parse(&name).ok());
    let wanted = Wanted { place: longest.unwrap().in_folder(&setting.folder()), ..setting.wanted() };
    setting.fetch_until(&wanted, BYTES / 2).await.unwrap_err();
    setting.fetch_it(&wanted).await.unwrap();
    assert!(wanted.place.exists());
}
