//! The MCUmgr client, and what it needs of the firmware's own group 67 (docs/smp-group.md).

use super::console::Console;
use super::stop::{Run, Stop};
use crate::board::RigError;
use mcumgr_toolkit::MCUmgrClient;
use mcumgr_toolkit::client::MCUmgrClientError;
use mcumgr_toolkit::commands::McuMgrCommand;
use mcumgr_toolkit::connection::ExecuteError;
use ota_core::otadata::{SelectEntry, State};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::marker::PhantomData;
use std::time::Duration;

/// The group of the firmware's own commands.
const GROUP: u16 = 67;
/// An image ends with its hash, of this length in bytes.
const HASH: usize = 32;

/// A dialogue with the update agent.
pub(super) struct Smp {
    client: MCUmgrClient,
    console: Console,
}

/// How the agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did what it was asked for.
    Done,
    /// It refused, for this reason.
    Refused(String),
}

impl Smp {
    /// Gets to know the agent.
    pub(super) fn open(console: &Console, limit: Duration) -> Run<Self> {
        let client = MCUmgrClient::new_from_serial(console.clone());
        // A repeated request would hide that the first one had no answer.
        client.set_retries(0);
        let smp = Self { client, console: console.clone() };
        smp.done(smp.client.set_timeout(limit), "time limit")?;
        smp.done(smp.client.use_auto_frame_size(), "parameters")?;
        Ok(smp)
    }

    /// Announces flash operations on the console from now on.
    pub(super) fn trace(&self) -> Run {
        let command = Command::<_, Ignored>::new(3, true, TraceRequest { on: true });
        self.done(self.client.raw_command(&command).map(drop), "trace")
    }

    /// Both select entries.
    pub(super) fn entries(&self) -> Run<[SelectEntry; 2]> {
        let command = Command::<_, EntriesResponse>::new(1, false, Nothing {});
        let response = self.value(self.client.raw_command(&command), "select entries")?;
        let [first, second] = response.entries.as_slice() else {
            return Err(Stop::Fail("the firmware reports no two select entries".into()));
        };
        Ok([first.entry(), second.entry()])
    }

    /// The hash of the running image.
    pub(super) fn running(&self) -> Run<Vec<u8>> {
        let images = self.value(self.client.image_get_state(), "list of images")?;
        let hash = images.into_iter().find(|image| image.active).and_then(|image| image.hash);
        hash.ok_or_else(|| Stop::Fail("the firmware lists no running image".into()))
    }

    /// Sends an image.
    pub(super) fn upload(&self, image: &[u8], upgrade_only: bool) -> Run<Answer> {
        let send = || self.client.image_upload(image, None, None, upgrade_only, None);
        match send() {
            // It went on with what was there, and that was not the start of this image.
            Err(MCUmgrClientError::ChecksumMismatchOnDevice) => self.answer(send(), "upload"),
            result => self.answer(result, "upload"),
        }
    }

    /// Sends an image over a link that breaks when that many bytes of it have been sent.
    pub(super) fn upload_broken(&self, image: &[u8], after: u32) -> Run {
        let console = self.console.clone();
        let mut progress = |sent: u64, _: u64| {
            if sent >= u64::from(after) {
                // In the middle of a frame.
                console.break_link(Some(100));
            }
            true
        };
        let result = self.client.image_upload(image, None, None, false, Some(&mut progress));
        self.console.break_link(None);
        if self.console.aborted() {
            return Err(Stop::Interrupted);
        }
        match result {
            Err(MCUmgrClientError::ExecuteError(ExecuteError::SendFailed(_))) => Ok(()),
            Err(error) => Err(Stop::Fail(format!("before the link broke: {}", chain(&error)))),
            Ok(()) => Err(Stop::Fail("the image was sent before the link broke".into())),
        }
    }

    /// Selects an image that is present for the next boot.
    pub(super) fn select(&self, image: &[u8]) -> Run<Answer> {
        let hash = image.last_chunk::<HASH>().map(|hash| hash.as_slice()).unwrap_or_default();
        self.answer(self.client.image_set_state(Some(hash), false).map(drop), "select")
    }

    /// Confirms the running image.
    pub(super) fn confirm(&self) -> Run<Answer> {
        self.answer(self.client.image_set_state(None, true).map(drop), "confirm")
    }

    /// Restarts the device.
    pub(super) fn reset(&self) -> Run {
        self.done(self.client.os_system_reset(false, None), "reset")
    }

    fn answer(&self, result: Result<(), MCUmgrClientError>, what: &str) -> Run<Answer> {
        match result {
            Ok(()) => Ok(Answer::Done),
            Err(
                error @ (MCUmgrClientError::ExecuteError(ExecuteError::ErrorResponse(_))
                | MCUmgrClientError::ChecksumMismatchOnDevice),
            ) => Ok(Answer::Refused(chain(&error))),
            Err(error) => Err(self.trouble(&error, what)),
        }
    }

    fn done(&self, result: Result<(), MCUmgrClientError>, what: &str) -> Run {
        self.value(result, what)
    }

    fn value<T>(&self, result: Result<T, MCUmgrClientError>, what: &str) -> Run<T> {
        result.map_err(|error| self.trouble(&error, what))
    }

    fn trouble(&self, error: &MCUmgrClientError, what: &str) -> Stop {
        if self.console.aborted() {
            return Stop::Interrupted;
        }
        let broken = matches!(
            error,
            MCUmgrClientError::ExecuteError(ExecuteError::SendFailed(_))
                | MCUmgrClientError::SetTimeoutFailed(_)
        );
        let text = format!("{what}: {}", chain(error));
        if broken { Stop::Rig(RigError::new(text)) } else { Stop::Fail(text) }
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A command of group 67.
struct Command<P, R> {
    id: u8,
    write: bool,
    data: P,
    response: PhantomData<R>,
}

impl<P, R> Command<P, R> {
    fn new(id: u8, write: bool, data: P) -> Self {
        Self { id, write, data, response: PhantomData }
    }
}

impl<P: Serialize, R: DeserializeOwned> McuMgrCommand for Command<P, R> {
    type Payload = P;
    type Response = R;

    fn is_write_operation(&self) -> bool {
        self.write
    }

    fn group_id(&self) -> u16 {
        GROUP
    }

    fn command_id(&self) -> u8 {
        self.id
    }

    fn data(&self) -> &P {
        &self.data
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct TraceRequest {
    on: bool,
}

/// A response whose fields do not matter.
#[derive(Deserialize)]
struct Ignored {}

#[derive(Deserialize)]
struct EntriesResponse {
    entries: Vec<EntryResponse>,
}

#[derive(Deserialize)]
struct EntryResponse {
    seq: u32,
    state: u32,
    crc: u32,
}

impl EntryResponse {
    fn entry(&self) -> SelectEntry {
        SelectEntry { crc: self.crc, ..SelectEntry::new(self.seq, State(self.state)) }
    }
}
