//! A text that is waited for on the console.

/// A text that is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    text: Vec<u8>,
    /// The console's last bytes, shorter than the text.
    tail: Vec<u8>,
}

impl Watch {
    /// Waits for a text.
    pub(crate) fn new(text: &[u8]) -> Self {
        Self { text: text.to_vec(), tail: Vec::new() }
    }

    /// Whether the text is complete with these bytes.
    pub(crate) fn sees(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(self.text.len().max(1)).any(|it| it == self.text);
        let keep = self.text.len().saturating_sub(1);
        self.tail.drain(..self.tail.len().saturating_sub(keep));
        found
    }
}
