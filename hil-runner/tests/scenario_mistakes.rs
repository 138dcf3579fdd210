//! Mistakes of many kinds, each made in a scenario that is right but for it.

#![allow(missing_docs)]

mod common;

use common::{check, codes};
use hil_runner::scenario::{Action, Place, Then, Which};
use std::time::Duration;

const BASE: &str = include_str!("base.toml");
const UPDATE: &str = "update = \"new\"";
const AFTER: &str = "after-cut = { boots = [\"old\", \"new\"] }";

/// The base with a line in place of another one.
fn with(line: &str, new: &str) -> String {
    assert!(BASE.contains(line), "{line}");
    BASE.replace(line, new)
}

/// The base with steps behind its own.
fn then(steps: &[&str]) -> String {
    let steps: String = steps.iter().map(|step| format!("\n[[step]]\n{step}\n")).collect();
    format!("{BASE}{steps}")
}

/// The base with this cut in its update.
fn cut(cut: &str) -> String {
    with(UPDATE, &format!("{UPDATE}\ncut = {cut}\n{AFTER}"))
}

#[test]
fn values_that_cannot_be() {
    for text in [
        with("\"example\"", "\"Two Words\""),
        with("[device]", "tags = [\"Loud\"]\n\n[device]"),
        with("[device]", "hazards = [\"H21\"]\n\n[device]"),
        with("\"esp32c3\"", "\"esp32c33\""),
        with("[images.old]", "flash = \"5 MB\"\n\n[images.old]"),
        with("[images.old]", "[images.\"a b\"]\nof = \"old\"\nversion = \"9.0.0\"\n\n[images.old]")
            .replace("update = \"new\"", "update = \"a b\"")
            .replace("boot = \"new\"", "boot = [\"a b\", \"new\"]")
            .replace("install = \"old\"", "install = \"old\"\n\n[[step]]\ninstall = \"new\""),
        with("install = \"old\"", "install = \"old\"\notadata = [\"1/VALID\"]"),
        with("install = \"old\"", "install = \"old\"\notadata = [\"1/VALID\", \"*\"]"),
        with("install = \"old\"", "install = \"old\"\notadata = [\"1/VALID\", \"2/DONE\"]"),
        with(UPDATE, "update = \"new\"\nlimit = \"0 s\""),
        with(UPDATE, "update = \"new\"\nbreak-link = 0"),
        cut("{ kind = \"rail\", operation = 0 }"),
        cut("{ kind = \"rail\", operation = \"each\" }"),
        cut("{ kind = \"rail\", operation = 1, into = 1.5 }"),
        cut("{ kind = \"rail\", operation = 1, into = -0.1 }"),
        cut("{ kind = \"rail\", text = { pattern = \"(\" } }"),
        then(&["wait-for = { pattern = \"[\" }"]),
        then(&["flip-bits = \"bootloader\"", "boot = \"new\""]),
        then(&["flip-bits = \"running-slot\"\ncount = 0", "boot = \"new\""]),
        then(&["reset = \"rail\"", "boot = \"new\""]),
        with(UPDATE, "update = \"$x\"") + "\n[parameters]\nx = [\"new\", \"new\"]\n",
    ] {
        assert_eq!(codes(&text), ["E006"], "{text}");
    }
}

#[test]
fn expectations_that_cannot_fail() {
    for text in [
        with("boot = \"new\"", "boot = []"),
        with("boot = \"new\"", "boot = \"new\"\ntext = [\"\"]"),
        then(&["expect = {}"]),
        then(&["expect-stable = {}"]),
        cut("[]"),
        with(
            UPDATE,
            &format!("{}{AFTER}", "update = \"new\"\ncut = { kind = \"rail\", operation = 1 }\n"),
        )
        .replace("[\"old\", \"new\"] }", "[\"old\", \"new\"], otadata = [\"*\", \"*\"] }"),
    ] {
        assert_eq!(codes(&text), ["E030"], "{text}");
    }
}

#[test]
fn values_of_the_wrong_type() {
    for text in [
        with("\"esp32c3\"", "3"),
        with("[images.old]", "[images]\nx = 1\n\n[images.old]"),
        with(UPDATE, "update = 2026-01-01"),
        with(UPDATE, "update = \"new\"\ncut = 1"),
        cut("{ kind = \"rail\", operation = 1.5 }"),
        then(&["expect = \"valid\""]),
        with(UPDATE, "update = \"$x\"")
            + "\n[parameters]\nx = { from = 1, to = \"2 s\", step = 1 }\n",
        with(UPDATE, "update = \"new\"\nbreak-link = \"$x\"") + "\n[parameters]\nx = \"far\"\n",
        format!("step = 3\n{}", BASE.split_once("[[step]]").unwrap().0),
    ] {
        assert!(codes(&text).contains(&"E005"), "{text}: {:?}", codes(&text));
    }
}

#[test]
fn cuts_that_never_fire() {
    let nothing =
        "cut = { kind = \"rail\", operation = \"every\" }\nafter-cut = { boots = \"new\" }";
    for text in [
        // No rollback: nothing to confirm, and nothing to write at a boot.
        then(&[&format!("confirm = \"new\"\n{nothing}"), "expect = { selected = \"ota_1\" }"])
            .replace("rollback = true", "rollback = false"),
        then(&["reset = \"software\"", &format!("boot = \"new\"\n{nothing}")])
            .replace("rollback = true", "rollback = false"),
        // A first boot with a factory application.
        with("boot = \"old\"", &format!("boot = \"old\"\n{}", nothing.replace("new", "old")))
            .replace("2-slots", "factory-2-slots"),
        then(&[&format!("wait-for = \"x\"\n{nothing}")]),
        then(&[&format!("still-updatable = \"old\"\n{nothing}")]),
    ] {
        assert_eq!(codes(&text), ["E020"], "{text}");
    }
    // The bootloader writes the first select entry, and that of an image on trial.
    let first =
        with("boot = \"old\"", &format!("boot = \"old\"\n{}", nothing.replace("new", "old")));
    assert_eq!(codes(&first), [""; 0]);
    let trial = then(&["reset = \"software\"", &format!("boot = \"new\"\n{nothing}")]);
    assert_eq!(codes(&trial), [""; 0]);
}

#[test]
fn what_excludes_or_needs_something_else() {
    for (text, code) in [
        (cut("{ kind = \"rail\", operation = 1, text = \"x\" }"), "E024"),
        (cut("{ kind = \"rail\", operation = 1, plus = \"1 s\" }"), "E024"),
        (cut("{ kind = \"rail\", text = \"x\", into = 0.5 }"), "E024"),
        (cut("{ kind = \"rail\", operation = 1 }\nbreak-link = 5"), "E038"),
        (then(&["install = \"old\"", "boot = \"old\""]), "E027"),
        (then(&["confirm = \"old\"", "expect = { selected = \"ota_1\" }"]), "E037"),
        (then(&["expect = { untouched = [\"ota_2\"] }"]), "E014"),
        (then(&["expect = { holds = { ota_9 = \"new\" } }"]), "E014"),
        (then(&["run = [\"x\"]\nfolder = \"nowhere\"", "boot = \"new\""]), "E034"),
        (then(&["run = [\"./nowhere/x\"]", "boot = \"new\""]), "E034"),
        (with("family = \"v2.0.0\"", "family = \"v3\""), "E009"),
        (with("family = \"v2.0.0\"", "of = \"new\"\nversion = \"3.0.0\""), "E012"),
        (with("family = \"v2.0.0\"", "of = \"older\"\nversion = \"3.0.0\""), "E009"),
        (
            with("family = \"v2.0.0\"", "family = \"v1-padded\"")
                .replace("2-slots", "tables/four-slots.csv"),
            "E031",
        ),
        (
            with("family = \"v2.0.0\"", "family = \"v2-esp32c6\"")
                .replace("boot = \"new\"", "boot = \"old\""),
            "E031",
        ),
        (
            with("family = \"v2.0.0\"", "family = \"v2-never-confirms\"")
                + "\n[[step]]\nstill-updatable = \"new\"\n",
            "E031",
        ),
        (with("\"2-slots\"", "\"tables/none.csv\""), "E013"),
        (with("\"2-slots\"", "\"../sim/fixtures/gap_0_1_3.csv\""), "E013"),
        (with("chip =", "flash = \"1 MB\"\nchip ="), "E013"),
        (with("chip =", "bootloader = \"none.bin\"\nchip ="), "E010"),
        (
            with(UPDATE, "update = \"$x\"")
                + "\n[parameters]\nx = { from = 1, to = 2, step = 0 }\n",
            "E017",
        ),
        (with(UPDATE, "update = \"$x\"") + "\n[parameters]\nx = []\n", "E017"),
    ] {
        assert_eq!(codes(&text), [code], "{text}");
    }
}

#[test]
fn an_image_that_resets_itself_is_followed_by_another_boot() {
    let crashing = with("family = \"v2.0.0\"", "family = \"v2-crashing\"");
    assert_eq!(codes(&format!("{crashing}\n[[step]]\nboot = \"old\"\n")), [""; 0]);
}

#[test]
fn what_is_read_is_what_was_written() {
    let text = cut("[{ kind = \"rail\", operation = \"last\", off = \"2 s\" }, { kind = \"en-reset\", text = \"x\", plus = \"$plus\" }]")
        .replace("\"new\"] }", "\"new\"], then = \"go-on\" }")
        + "\n[parameters]\nplus = { from = \"0 ms\", to = \"1 s\", step = \"500 ms\" }\none = [1]\ntwo = 2\n\n"
        + "[[step]]\nflip-bits = \"active-entry\"\ncount = \"$one\"\nseed = \"$two\"\n\n[[step]]\nboot = [\"old\", \"new\"]\n";
    let scenario = check(&text).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let names: Vec<_> = scenario.cases.iter().map(|case| case.name.as_str()).collect();
    let expected = ["0 ms", "500 ms", "1 s"].map(|plus| format!("example[plus={plus},one=1]"));
    assert_eq!(names, expected);
    let steps = &scenario.cases[1].steps;
    let update = &steps[2];
    assert_eq!(text.lines().nth(update.line), Some(UPDATE));
    assert_eq!(update.limit, Duration::from_secs(120));
    let [first, second] = &update.cuts[..] else { panic!() };
    assert_eq!(first.place, Place::Operation { which: Which::Last, into: 0.5 });
    assert_eq!((first.off, second.off), (Duration::from_secs(2), Duration::ZERO));
    let Place::Text { plus, .. } = second.place else { panic!() };
    assert_eq!(plus, Duration::from_millis(500));
    assert_eq!(update.after_cut.as_ref().unwrap().then, Then::GoOn);
    assert!(matches!(steps[4].action, Action::FlipBits { count: 1, seed: 2, .. }));
}
