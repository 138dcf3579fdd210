//! A Chromium without a window, driven by the Chrome DevTools Protocol over a pipe.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>; over a pipe, each message ends with
//! a zero byte.

use serde_json::{Value as Json, json};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Json>,
    session: Json,
    last: u64,
    /// Events since the page was opened.
    pub(crate) events: Vec<Json>,
    _profile: TempDir,
}

/// The browser's program: `$CHROMIUM`, or what it is called on common systems.
fn program() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"].map(String::from);
    let works = |name: &String| {
        let command = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    };
    env::var("CHROMIUM").into_iter().chain(names).find(works)
}

impl Browser {
    /// Starts the browser; `None` if there is none on this machine.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        // The browser speaks on the descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 >&2", "sh", &program])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let (session, last, events) = (Json::Null, 0, Vec::new());
        let mut browser =
            Self { process, commands, messages, session, last, events, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Sends a command and gives its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Json) -> Json {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if self.session.is_string() {
            command["sessionId"] = self.session.clone();
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        let answer = self.until(|message, last| message["id"] == last);
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    fn until(&mut self, wanted: impl Fn(&Json, u64) -> bool) -> Json {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("the browser is silent");
            if wanted(&message, self.last) {
                return message;
            }
            self.events.push(message);
        }
    }

    /// Opens a file in a window of that width, in light or dark colours.
    pub(crate) fn open(&mut self, file: &Path, width: u32, scheme: &str) {
        self.events.clear();
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": scheme }));
        // Out of the page before: going to a part of the same page would load nothing.
        for url in ["about:blank".into(), format!("file://{}", file.display())] {
            self.call("Page.navigate", json!({ "url": url }));
            let loaded = |event: &Json| event["method"] == "Page.loadEventFired";
            if let Some(position) = self.events.iter().position(loaded) {
                self.events.remove(position);
            } else {
                self.until(|message, _| loaded(message));
            }
        }
    }

    /// The value of an expression in the page; promises are waited for.
    pub(crate) fn value(&mut self, expression: &str) -> Json {
        let expression =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", expression);
        assert!(result["exceptionDetails"].is_null(), "{}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Presses a key, by its name and code.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.call("Input.dispatchKeyEvent", event);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
