//! An outlook for people.

use super::outlook::Outlook;
use crate::{
    moment::shown_time,
    output::{entries, printable},
    redis_access::Access,
    table::{Column, render},
    terminal,
};

/// What would go, how, and who has not acked some of it.
pub(super) fn shown(access: &Access, outlook: &Outlook, node_entries: Option<u64>) -> String {
    let (key, address) = (access.stream.key(), access.connector.address());
    let Outlook { cutoff, length, going, groups, .. } = outlook;
    let stay =
        going.exactly().map_or_else(|| "the rest".to_owned(), |going| entries(length.saturating_sub(going)));
    let how = match node_entries {
        Some(node) => format!(
            "approximate: nodes of up to {node} entries go whole, so that up to {} of these entries stay",
            node.saturating_sub(1)
        ),
        None => "exact: to the entry".to_owned(),
    };
    let time = shown_time(cutoff.ms);
    let lines = [
        ("stream", format!("{key} at {address}, {}", entries(*length))),
        ("to remove", format!("{}, those before {cutoff} ({time})", going.entries())),
        ("to keep", stay),
        ("trimming", how),
    ];
    let width = terminal::width();
    let lines = lines.map(|(name, value)| terminal::wrap(&format!("{name:<9}  {value}"), width, 11));
    let mut text = lines.join("\n");
    if groups.is_empty() {
        text.push_str("\ngroups     all of them have acked what is to be removed");
        return text;
    }
    let columns = [
        Column::left("GROUP"),
        Column::right("PENDING"),
        Column::right("NOT DELIVERED"),
        Column::left("OLDEST").optional(1),
        Column::left("WAITED FOR"),
    ];
    let rows = groups.iter().map(|loss| {
        [
            printable(&loss.group),
            loss.pending.short(),
            loss.undelivered.short(),
            loss.oldest.to_string(),
            if loss.waited_for { "yes" } else { "no" }.to_owned(),
        ]
    });
    text.push_str("\n\nNot acked yet, of what is to be removed:\n");
    text.push_str(&render(columns, &rows.collect::<Vec<_>>(), width));
    text
}
