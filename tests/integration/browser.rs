//! A real Chromium without a window, told what to do over a pipe by the DevTools protocol. Each has a profile of its own, and is gone with its test.
//!
//! By hand, and not by a crate: over a pipe the protocol is JSON with a zero byte behind it, and those that speak all of it take a minute to build.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Of every question and every page: a browser that starts beside a whole test run takes its time.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Browser {
    child: Child,
    /// Taken when it is to end.
    commands: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// What came while an answer was waited for.
    events: VecDeque<Value>,
    next_id: u64,
    session: String,
    profile: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
    pub(crate) has_scripts: bool,
}

/// What a page did while it was opened.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    /// Addresses that were asked for, itself first.
    pub(crate) requests: Vec<String>,
    /// What the console or the browser complained of.
    pub(crate) complaints: Vec<String>,
    /// `alert` and its like.
    pub(crate) dialogs: Vec<String>,
}

impl Browser {
    /// Panics where there is no browser: a test that cannot look has not passed.
    pub(crate) fn start() -> Browser {
        let program = std::env::var("KEYWAY_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let profile = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(profile.path().join("stderr")).unwrap();
        // The protocol's pipes are descriptors 3 and 4, which std cannot hand over: a shell moves them, and becomes the browser.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null",
                &program,
            ])
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                // It refuses to run as root otherwise; it opens our own pages only.
                "--no-sandbox",
            ])
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let commands = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        // Ends with the browser, which holds the other end.
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Browser {
            child,
            commands,
            messages,
            events: VecDeque::new(),
            next_id: 0,
            session: String::new(),
            profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path, view: View) -> Behaviour {
        self.look(view);
        let disabled = json!({ "value": !view.has_scripts });
        self.call("Emulation.setScriptExecutionDisabled", disabled);
        self.events.clear();
        let url = format!("file://{}", file.display());
        let navigated = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(navigated.get("errorText"), None, "{url}");
        let mut behaviour = Behaviour::default();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.message(deadline, "the page is loaded"),
            };
            match event["method"].as_str() {
                Some("Page.loadEventFired") => break,
                // It stops everything until it is answered.
                Some("Page.javascriptDialogOpening") => {
                    behaviour.note(&event);
                    self.call("Page.handleJavaScriptDialog", json!({ "accept": true }));
                }
                _ => behaviour.note(&event),
            }
        }
        // What is to come has come before this answer: it all goes through one pipe.
        self.evaluate(match view.has_scripts {
            true => "new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))",
            // Then no frame calls anybody.
            false => "document.body.getBoundingClientRect().height",
        });
        while let Some(event) = self.events.pop_front() {
            behaviour.note(&event);
        }
        behaviour
    }

    /// Looks at what is open in another way.
    pub(crate) fn look(&mut self, view: View) {
        let size =
            json!({ "width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if view.is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "media": "screen", "features": features }),
        );
    }

    /// As it goes to a printer.
    pub(crate) fn look_as_paper(&mut self) {
        self.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    }

    /// The value of an expression, which may be a promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let question =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", question);
        assert_eq!(answer.get("exceptionDetails"), None, "{expression}");
        answer["result"]["value"].clone()
    }

    /// For a person to look at, where KEYWAY_SCREENSHOTS names a directory.
    pub(crate) fn screenshot(&mut self, name: &str) {
        const PIECE: u32 = 1_600;
        let Ok(directory) = std::env::var("KEYWAY_SCREENSHOTS") else {
            return;
        };
        let size = self.evaluate(
            "[document.documentElement.clientWidth, document.documentElement.scrollHeight]",
        );
        let (width, height) = (size[0].as_u64().unwrap(), size[1].as_u64().unwrap() as u32);
        for (number, top) in (0..height).step_by(PIECE as usize).enumerate() {
            let clip = json!({ "x": 0, "y": top, "width": width, "height": PIECE.min(height - top), "scale": 1 });
            let question = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
            let answer = self.call("Page.captureScreenshot", question);
            let picture = BASE64_STANDARD
                .decode(answer["data"].as_str().unwrap())
                .unwrap();
            let file = Path::new(&directory).join(format!("{name}-{number}.png"));
            std::fs::write(file, picture).unwrap();
        }
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        let sent = self.commands.as_mut().unwrap().write_all(&bytes);
        if let Err(error) = sent {
            panic!("{method} cannot be sent: {error}. {}", self.log());
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let message = self.message(deadline, method);
            if message["id"] == json!(id) {
                assert_eq!(message.get("error"), None, "{method} {parameters}");
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    fn message(&mut self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.messages.recv_timeout(left) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{what}: no answer in {DEADLINE:?}. {}", self.log())
            }
            Err(RecvTimeoutError::Disconnected) => panic!(
                "the browser is not there, or has ended. These tests need Chromium: scripts/setup.sh --tests, or set KEYWAY_CHROMIUM to its path. {}",
                self.log()
            ),
        }
    }

    /// What it wrote on standard error.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.profile.path().join("stderr"));
        format!("It said: {}", log.unwrap_or_default())
    }
}

impl Behaviour {
    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = &parameters["request"]["url"];
                self.requests.push(url.as_str().unwrap().to_owned());
            }
            "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => {
                self.complaints.push(parameters.to_string());
            }
            "Page.javascriptDialogOpening" => self.dialogs.push(parameters.to_string()),
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, it takes its own processes along; its end of the pipe tells when.
        if let Some(mut commands) = self.commands.take() {
            let _ = commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let left = || deadline.saturating_duration_since(Instant::now());
        while self.messages.recv_timeout(left()).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
