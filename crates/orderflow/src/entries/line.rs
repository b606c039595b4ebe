//! An entry as a line for people.

use stream_core::Entry;

use crate::output::printable;

/// ID, then the fields in their order as `name=value`.
pub(crate) fn line(entry: &Entry) -> String {
    let mut line = entry.id.to_string();
    for (name, value) in entry.fields.iter() {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        line.push_str("  ");
        line.push_str(&printable(&name));
        line.push('=');
        let quote = value.is_empty() || value.contains(' ');
        let value = printable(&value);
        let quotes = if quote { "\"" } else { "" };
        line.extend([quotes, &value, quotes]);
    }
    line
}

#[cfg(test)]
mod tests {
    use stream_core::StreamId;

    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_it_holds() {
        let fields = [("type", "order.paid"), ("note", "two words\n"), ("empty", "")];
        let entry = Entry { id: StreamId::new(7, 1), fields: fields.into_iter().collect() };
        assert_eq!(line(&entry), "7-1  type=order.paid  note=\"two words\\n\"  empty=\"\"");
    }
}
