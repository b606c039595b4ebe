//! Entries that nobody can understand, as a broken client appends them.

/// Field names and values of an entry, byte for byte and in order.
pub(super) type RawFields = Vec<(Vec<u8>, Vec<u8>)>;

/// The field that tells a poison entry of ours from an order. Its value is a number of its own.
pub(super) const MARK: &str = "chaos-poison";

/// What is wrong with a poison entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    MalformedAmount,
    MissingField,
    BinaryValue,
    DuplicateField,
}

impl Shape {
    pub(super) const ALL: [Self; 4] =
        [Self::MalformedAmount, Self::MissingField, Self::BinaryValue, Self::DuplicateField];

    /// The entry's fields, marked with `number`.
    pub(super) fn fields(self, number: usize) -> RawFields {
        let mark = number.to_string();
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b"type", b"order.paid"),
            (b"order_id", b"poison"),
            (b"customer", b"mallory"),
            (MARK.as_bytes(), mark.as_bytes()),
        ];
        match self {
            Self::MalformedAmount => fields.push((b"amount", b"1e3")),
            Self::MissingField => {}
            Self::BinaryValue => {
                fields.extend([(&b"amount"[..], &b"1.00"[..]), (b"blob", b"\xff\x00\r\n\xfe")]);
            }
            Self::DuplicateField => fields.extend([(&b"amount"[..], &b"1.00"[..]), (b"amount", b"2.00")]),
        }
        fields.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }
}
