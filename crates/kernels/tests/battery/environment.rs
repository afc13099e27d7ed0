//! The choice of the kernels by `HUACAYA_KERNELS`.

use std::process::Command;

use huacaya_kernels::{InstructionSet, KERNELS_VARIABLE, Kernels};

/// Run again by the other test, with the variable set.
#[test]
fn the_choice_holds_for_the_whole_process() {
    let choice = Kernels::choice();
    assert!(std::ptr::eq(Kernels::chosen(), choice.kernels));
    println!("chosen: {}: {}", Kernels::chosen().set(), choice.reason.unwrap_or_default());
}

/// The set that a process of its own chooses, and the reason it gives.
fn chosen(asked: Option<&str>) -> (String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["environment::the_choice_holds_for_the_whole_process", "--exact", "--nocapture"]);
    command.env_remove(KERNELS_VARIABLE);
    if let Some(asked) = asked {
        command.env(KERNELS_VARIABLE, asked);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{asked:?}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find_map(|line| line.split_once("chosen: ")).unwrap().1;
    let (set, reason) = line.split_once(": ").unwrap();
    (set.into(), reason.into())
}

#[test]
fn the_kernels_that_the_environment_names_are_used_where_they_are_there() {
    let best = InstructionSet::best().name();
    for set in InstructionSet::ALL {
        let (found, reason) = chosen(Some(set.name()));
        let wanted = if set.is_available() { set.name() } else { best };
        assert_eq!(found, wanted, "{set}: {reason}");
        assert!(reason.contains(set.name()), "{set}: {reason}");
        assert_eq!(reason.contains("does not have"), !set.is_available(), "{set}: {reason}");
    }
    assert_eq!(chosen(Some("PORTABLE")).0, "portable");
}

#[test]
fn without_a_name_or_with_one_that_nothing_has_the_best_kernels_are_used() {
    let best = InstructionSet::best().name();
    assert_eq!(chosen(None), (best.into(), String::new()));
    assert_eq!(chosen(Some("")), (best.into(), String::new()));
    let (found, reason) = chosen(Some("avx9"));
    assert_eq!(found, best);
    assert!(reason.contains("avx9") && reason.contains("avx-vnni") && reason.contains(best), "{reason}");
}
