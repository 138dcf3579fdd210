//! The HTML report in a real browser: it asks for nothing, fits, and works with a keyboard.
//!
//! Needs Chromium; `$CHROMIUM` names one that is not on the path. With `$AXE` the path of `axe.min.js` of
//! the package `axe-core`, its rules for accessibility are checked, too.

#![allow(missing_docs)]

mod browser;
mod outcomes;

use browser::Browser;
use hil_runner::report::html;
use outcomes::{header, suite};
use serde_json::json;
use std::env;
use std::fs;
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};

/// Rooms for the report: narrow and wide, light and dark.
const VIEWS: [(u32, &str); 4] = [(400, "light"), (400, "dark"), (1280, "light"), (1280, "dark")];

/// A browser and the report of the whole suite; `None`, and loudly so, without a browser.
fn report() -> Option<(Browser, TempDir, PathBuf)> {
    let Some(browser) = Browser::start() else {
        eprintln!("NOT TESTED: the HTML report in a browser; install Chromium or set $CHROMIUM");
        return None;
    };
    let folder = tempdir().unwrap();
    let file = folder.path().join("report.html");
    fs::write(&file, html(Some(&header()), &suite())).unwrap();
    Some((browser, folder, file))
}

#[test]
fn it_asks_for_nothing_and_nothing_is_wrong_with_it() {
    let Some((mut browser, _folder, file)) = report() else { return };
    browser.open(&file, 1280, "light");
    assert_eq!(browser.value("document.title"), "Power cuts: Failed");
    let requests: Vec<_> = browser
        .events
        .iter()
        .filter(|event| event["method"] == "Network.requestWillBeSent")
        .filter_map(|event| event["params"]["request"]["url"].as_str())
        .filter(|url| !url.starts_with("data:"))
        .collect();
    assert_eq!(requests, [format!("file://{}", file.display())]);
    let noise = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
    for event in &browser.events {
        assert!(!noise.iter().any(|noise| event["method"] == *noise), "{event}");
    }
}

#[test]
fn it_fits_and_no_link_leads_nowhere() {
    let Some((mut browser, _folder, file)) = report() else { return };
    for (width, scheme) in VIEWS {
        browser.open(&file, width, scheme);
        for open in [false, true] {
            browser.value(&format!(
                "document.querySelectorAll('details').forEach(it => it.open = {open})"
            ));
            let [widest, room] = ["scrollWidth", "clientWidth"]
                .map(|it| browser.value(&format!("document.documentElement.{it}")));
            assert_eq!(widest, room, "in {width} pixels, details open: {open}");
        }
    }
    let lost = "[...document.querySelectorAll('a')].map(it => it.getAttribute('href'))
        .filter(it => !document.getElementById(it.slice(1)))";
    assert_eq!(browser.value(lost), json!([]));
    let levels =
        browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(it => +it.tagName[1])");
    let levels: Vec<u64> = serde_json::from_value(levels).unwrap();
    assert_eq!((levels[0], levels.iter().filter(|level| **level == 1).count()), (1, 1));
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
}

#[test]
fn links_open_what_they_lead_to() {
    let Some((mut browser, _folder, file)) = report() else { return };
    browser.open(&file, 1280, "light");
    let closed = browser.value(
        "window.closed_one = document.querySelector('details.run:not([open])');
         document.querySelector(`a[href='#${closed_one.querySelector('.body').id}']`).click();
         new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
            done([closed_one.open, closed_one.getBoundingClientRect().top >= 0]))))",
    );
    assert_eq!(closed, json!([true, true]));
}

#[test]
fn a_keyboard_reaches_all_failures_in_their_order_and_shows_where_it_is() {
    let Some((mut browser, _folder, file)) = report() else { return };
    browser.open(&file, 1280, "light");
    let failures = browser
        .value("[...document.querySelectorAll('.troubles a')].map(it => it.getAttribute('href'))");
    assert_eq!(failures.as_array().unwrap().len(), 4);
    let mut reached = Vec::new();
    for number in 0.. {
        browser.press("Tab", 9, "");
        if browser.value("document.activeElement === document.body") == true {
            break;
        }
        let [focus, outline, inside] = [
            "document.activeElement.getAttribute('href')",
            "getComputedStyle(document.activeElement).outlineStyle",
            "document.activeElement.closest('.troubles') !== null",
        ]
        .map(|expression| browser.value(expression));
        if number == 0 {
            assert_eq!(focus, "#main", "the first stop is the way past the head of the page");
        }
        assert_ne!(outline, "none", "at {focus}");
        if inside == true && !reached.contains(&focus) {
            reached.push(focus);
        }
    }
    assert_eq!(json!(reached), failures);
    // Enter at the first stop leads past the head: the next stop is the first failure.
    browser.open(&file, 1280, "light");
    browser.press("Tab", 9, "");
    browser.press("Enter", 13, "\r");
    browser.press("Tab", 9, "");
    assert_eq!(browser.value("document.activeElement.getAttribute('href')"), failures[0]);
}

#[test]
fn it_is_accessible() {
    let Some(axe) = env::var_os("AXE") else {
        eprintln!("NOT TESTED: accessibility by axe-core; set $AXE to its axe.min.js");
        return;
    };
    let axe = fs::read_to_string(axe).unwrap();
    let Some((mut browser, _folder, file)) = report() else { return };
    for (width, scheme) in VIEWS {
        browser.open(&file, width, scheme);
        browser.value(&format!("{axe}; 0"));
        let broken = browser.value(
            "document.querySelectorAll('details').forEach(it => it.open = true);
             axe.run().then(result => result.violations.map(it =>
                `${it.id}: ${it.help}: ${it.nodes.slice(0, 3).map(node => node.html).join(' | ')}`))",
        );
        assert_eq!(broken, json!([]), "{width} pixels, {scheme}");
    }
}
