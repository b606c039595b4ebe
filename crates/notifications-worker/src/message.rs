//! [`Message`]: what is sent about one event.

use order_events::EventView;
use stream_core::{Fields, StreamId};

/// What is sent about one event, the same for every channel.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// The entry's original ID: the same message again has the same one.
    pub(crate) id: StreamId,
    /// The stream that the entry is of.
    pub(crate) stream: &'a str,
    /// How often the entry was delivered, this time included.
    pub(crate) attempt: u64,
    /// The event.
    pub(crate) event: &'a EventView<'a>,
    /// Every field of the entry, valid UTF-8.
    pub(crate) fields: &'a Fields,
    /// What it says, rendered.
    pub(crate) rendered: Rendered,
}

/// A message in the forms that channels send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rendered {
    /// Plain text.
    pub(crate) text: String,
    /// One line, without control characters; empty where nobody needs it.
    pub(crate) subject: String,
    /// The same as HTML, if the type has a template for it and somebody needs it.
    pub(crate) html: Option<String>,
}

impl Message<'_> {
    /// A field as text; `None` if the entry has none of that name, or an empty one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name).and_then(|value| std::str::from_utf8(value).ok())?;
        (!value.is_empty()).then_some(value)
    }

    /// A name of this message for `target`, the same each time that it is sent: 32 hexadecimal digits of SHA-256.
    pub(crate) fn name_for(&self, target: &str) -> String {
        digest(&[self.stream, &self.id.to_string(), target])
    }
}

/// The first 32 hexadecimal digits of the SHA-256 of some parts, none of which runs into the next.
pub(crate) fn digest(parts: &[&str]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;

    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["ab", "c"]).len(), 32);
    }
}
