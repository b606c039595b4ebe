//! `orderflow dlq ls`: dead letters a page at a time, or how many each group has.

use std::{collections::BTreeSet, process::ExitCode};

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{
    DeadLetter, DeadLetterPage, DeadLetterQuery, Direction, Error, GroupInfo, RangeQuery, StreamId,
};

use super::{
    selection::Filters,
    text::{LetterJson, UnreadableJson, field, time_ms},
};
use crate::{
    configuration::Configuration,
    moment::{self, shown_age, shown_time},
    output::{news, printable, result},
    redis_access::Access,
    table::{Column, render},
    terminal,
};

/// Arguments of `orderflow dlq ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
A list looks at no more dead letters than --scan says; where it stops before the end it prints the --from of the rest.
{}

Exit codes: 0 done (also if there is none), 1 failed, 2 wrong usage, 78 wrong configuration", moment::HELP))]
pub(super) struct Args {
    /// The consumer group whose dead letters to list
    group: Option<String>,

    /// List the oldest first
    #[arg(long, requires = "group")]
    oldest_first: bool,

    /// Go on at this dead letter, as the page before said
    #[arg(long, value_name = "ID", requires = "group")]
    from: Option<StreamId>,

    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    count: u32,

    /// Look at no more than so many to find them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    scan: u32,

    /// Print JSON: {"letters": […], "unreadable": […], "scanned": …, "next": ID or null}
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

impl Args {
    fn query(&self) -> DeadLetterQuery {
        let (start, end) = self.filters.ids();
        let range = match (self.oldest_first, self.from) {
            (true, from) => RangeQuery {
                start: from.map_or(start, |from| from.max(start)),
                end,
                direction: Direction::Forward,
            },
            (false, from) => RangeQuery {
                start,
                end: from.map_or(end, |from| from.min(end)),
                direction: Direction::Backward,
            },
        };
        DeadLetterQuery {
            filter: self.filters.filter(),
            range,
            limit: self.count as usize,
            scan_max: self.scan as usize,
        }
    }
}

/// Runs the subcommand.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let Some(group) = &args.group else {
        anyhow::ensure!(
            args.filters.is_empty(),
            "name the group that the filters are for: orderflow dlq ls GROUP …"
        );
        return overview(&access, &configuration.settings.retention.groups, args.json).await;
    };
    let dead_letters = access.stream.dead_letters(group);
    let query = args.query();
    let page = dead_letters.page(&query).await.map_err(|error| access.explain(&error))?;
    if page.scanned == 0 && dead_letters.count().await.map_err(|error| access.explain(&error))? == 0 {
        access.group_exists(group).await?;
    }
    let next = page.next.map(|next| match next.direction {
        Direction::Forward => next.start,
        Direction::Backward => next.end,
    });
    if args.json {
        result(serde_json::to_string(&PageJson::new(&page, next))?)?;
    } else {
        if page.letters.is_empty() && page.unreadable.is_empty() {
            news(format_args!("no dead letters of group {group} that fit"));
        } else {
            result(table(&page, terminal::width()))?;
        }
        for unreadable in &page.unreadable {
            let problem = &unreadable.problem;
            news(format_args!(
                "{} is no dead letter: {problem}; somebody else has written it",
                unreadable.id
            ));
        }
    }
    if let Some(next) = next {
        let why = if page.stopped_early { "stopped" } else { "there may be more" };
        news(format_args!("{why} after looking at {}; go on with --from {next}", page.scanned));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct PageJson<'a> {
    letters: Vec<LetterJson<'a>>,
    unreadable: Vec<UnreadableJson<'a>>,
    scanned: usize,
    next: Option<StreamId>,
}

impl<'a> PageJson<'a> {
    fn new(page: &'a DeadLetterPage, next: Option<StreamId>) -> Self {
        let letters = page.letters.iter().map(LetterJson::from).collect();
        let unreadable = page.unreadable.iter().map(UnreadableJson::from).collect();
        Self { letters, unreadable, scanned: page.scanned, next }
    }
}

const COLUMNS: [Column; 7] = [
    Column::left("ID"),
    Column::right("AGE"),
    Column::left("REASON").cut_to(NAME_CHARS_MIN),
    Column::left("ENTRY").optional(3),
    Column::left("TYPE").cut_to(NAME_CHARS_MIN).optional(1),
    Column::left("ORDER").cut_to(NAME_CHARS_MIN).optional(2),
    Column::left("ERROR").cut_to(ERROR_CHARS_MIN),
];
/// Text that somebody else chose may be cut to this, so that one long name does not spoil the table.
const NAME_CHARS_MIN: usize = 16;
/// The error has what is left of the line; with less than this the entry's columns give way to it.
const ERROR_CHARS_MIN: usize = 20;

/// The letters of a page in lines of at most `width` columns, if there is a limit.
fn table(page: &DeadLetterPage, width: Option<usize>) -> String {
    render(COLUMNS, &page.letters.iter().map(row).collect::<Vec<_>>(), width)
}

fn row(letter: &DeadLetter) -> [String; 7] {
    [
        letter.id.to_string(),
        shown_age(time_ms(letter)),
        printable(&letter.reason),
        letter.entry_id.to_string(),
        field(&letter.fields, "type"),
        field(&letter.fields, "order_id"),
        printable(&letter.error),
    ]
}

/// One group in figures.
#[derive(Debug, Serialize)]
struct GroupRow {
    group: String,
    dead_letters: u64,
    /// When the oldest and the newest of them died.
    oldest_ms: Option<u64>,
    newest_ms: Option<u64>,
    /// Sent back and not settled yet.
    redriving: u64,
    /// Dropped by the bounds on dead letters, ever.
    dropped: u64,
}

async fn overview(access: &Access, managed: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let rows = group_rows(access, managed).await.map_err(|error| access.explain(&error))?;
    if json {
        result(serde_json::to_string(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::left("GROUP"),
        Column::right("DEAD LETTERS"),
        Column::left("OLDEST").optional(1),
        Column::left("NEWEST").optional(2),
        Column::right("REDRIVING"),
        Column::right("DROPPED"),
    ];
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), shown_time);
    let rows = rows.iter().map(|row| {
        [
            printable(&row.group),
            row.dead_letters.to_string(),
            time(row.oldest_ms),
            time(row.newest_ms),
            row.redriving.to_string(),
            row.dropped.to_string(),
        ]
    });
    result(render(columns, &rows.collect::<Vec<_>>(), terminal::width()))?;
    Ok(ExitCode::SUCCESS)
}

async fn group_rows(access: &Access, managed: &[String]) -> Result<Vec<GroupRow>, Error> {
    let groups = access.stream.groups().await?;
    let existing = groups.into_iter().filter(GroupInfo::is_addressable).map(|group| group.name);
    let names: BTreeSet<String> = existing.chain(managed.iter().cloned()).collect();
    let mut rows = Vec::new();
    for group in names {
        let dead_letters = access.stream.dead_letters(&group);
        let ends = dead_letters.ends().await?;
        rows.push(GroupRow {
            dead_letters: dead_letters.count().await?,
            oldest_ms: ends.map(|(oldest, _)| oldest.ms),
            newest_ms: ends.map(|(_, newest)| newest.ms),
            redriving: dead_letters.redriving().await?,
            dropped: dead_letters.dropped().await?,
            group,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_table_fits_the_terminal() {
        let fields = [("type", "order.cancelled"), ("order_id", "o-1234567890123456789012345")];
        let letter = DeadLetter {
            id: StreamId::new(1_716_998_413_541, 0),
            entry_id: StreamId::new(1_716_998_413_541, 0),
            group: "notifications".to_owned(),
            consumer: "worker-a".to_owned(),
            deliveries: 5,
            reason: "max_deliveries".to_owned(),
            error: "no route to host: ".repeat(20),
            time: SystemTime::now(),
            redrives: 0,
            fields: fields.into_iter().collect(),
        };
        let page = DeadLetterPage { letters: vec![letter], ..DeadLetterPage::default() };
        for width in [60, 80, 100, 120, 160, 200] {
            let table = table(&page, Some(width));
            assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{table}");
            assert!(table.contains("max_deliveries") && table.contains("no route"), "{width}:\n{table}");
            assert_eq!(table.contains("order.cancelled"), width >= 80, "{width}:\n{table}");
        }
        assert!(table(&page, None).contains(&"no route to host: ".repeat(19)));
    }
}
