//! UART0 on the standard input and output.

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr,
};
use std::io::{self, Write};

/// Standard input and output; a terminal sends each key at once and does not show it.
#[derive(Debug)]
pub(crate) struct Console {
    settings: Option<Termios>,
    input: bool,
    output: bool,
}

impl Console {
    /// Takes the terminal, if there is one, until it is dropped.
    pub(crate) fn open() -> io::Result<Self> {
        let mut settings = None;
        if isatty(stdin()) {
            let before = tcgetattr(stdin())?;
            let mut raw = before.clone();
            // Ctrl-C still ends the program.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            raw.input_modes -= InputModes::ICRNL;
            tcsetattr(stdin(), OptionalActions::Now, &raw)?;
            settings = Some(before);
        }
        Ok(Self { settings, input: true, output: true })
    }

    /// Whether more may come from the standard input.
    pub(crate) fn is_live(&self) -> bool {
        self.input
    }

    /// What to wait for.
    pub(crate) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.input.then(|| PollFd::from_borrowed_fd(stdin(), PollFlags::IN))
    }

    /// Reads what is there; to be called when there is something.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        match rustix::io::read(stdin(), &mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                self.input = count > 0;
            }
            Err(error) => {
                bytes.clear();
                self.input = matches!(error, Errno::INTR | Errno::WOULDBLOCK);
            }
        }
        bytes
    }

    /// Writes. A reader that has gone away is no error: the board goes on.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.output && !bytes.is_empty() {
            let mut stdout = io::stdout().lock();
            self.output = stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
        }
    }
}
