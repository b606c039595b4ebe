//! Dead letters: how many there are, pages of them, and one of them.

use std::time::UNIX_EPOCH;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::{Problem, query::quoted};
use stream_core::{
    DeadLetter, DeadLetterFilter, DeadLetterQuery, DeadReason, Direction, RangeQuery, StreamId,
    UnreadableDeadLetter,
};
use utoipa::{IntoParams, ToSchema};

use super::entries::{Order, count, cursor, full_id};
use crate::{app::App, entry_json::pairs, problems};

const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 500;
/// Dead letters that one page looks at to find those that fit.
const SCANNED_MAX: usize = 10_000;

/// How many dead letters each group has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) groups: Vec<GroupLetters>,
}

/// The dead letters of a group in figures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupLetters {
    pub(crate) group: String,
    pub(crate) count: u64,
    /// How many were ever dropped because of `dead_letters.max_entries` and `max_age`.
    pub(crate) dropped: u64,
}

/// Which dead letters; everything that is given must fit.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// The event's type.
    #[serde(rename = "type")]
    pub(crate) event_type: Option<String>,
    pub(crate) order_id: Option<String>,
    /// `max_deliveries`, `rejected`, `poison` or `payload_lost`.
    pub(crate) reason: Option<String>,
    /// The ID of the entry in the stream.
    pub(crate) entry: Option<String>,
    /// Those that died then or later, Unix ms.
    pub(crate) since_ms: Option<u64>,
    /// Those that died then or before, Unix ms.
    pub(crate) until_ms: Option<u64>,
}

/// Which dead letters, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Letters {
    /// The event's type.
    #[serde(rename = "type")]
    pub(crate) event_type: Option<String>,
    pub(crate) order_id: Option<String>,
    /// `max_deliveries`, `rejected`, `poison` or `payload_lost`.
    pub(crate) reason: Option<String>,
    /// The ID of the entry in the stream.
    pub(crate) entry: Option<String>,
    /// Those that died then or later, Unix ms.
    pub(crate) since_ms: Option<u64>,
    /// Those that died then or before, Unix ms.
    pub(crate) until_ms: Option<u64>,
    /// `desc` if left out: the last that died first.
    pub(crate) order: Option<Order>,
    /// The `next` of the page before.
    pub(crate) from: Option<String>,
    /// From 1 to 500; 50 if left out.
    pub(crate) count: Option<usize>,
}

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LettersPage {
    pub(crate) letters: Vec<DeadLetterJson>,
    /// What somebody else has written there; only without a filter.
    pub(crate) unreadable: Vec<Unreadable>,
    /// The `from` of the next page; `null` at the end.
    pub(crate) next: Option<String>,
    /// How many were looked at.
    pub(crate) scanned: usize,
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterJson {
    /// Its own ID.
    pub(crate) letter_id: String,
    /// The ID of the entry in the stream.
    pub(crate) id: String,
    /// Who had it last.
    pub(crate) consumer: String,
    pub(crate) deliveries: u64,
    pub(crate) reason: String,
    pub(crate) error: String,
    /// When it died, Unix ms.
    pub(crate) time_ms: u64,
    /// How often it had been sent back before.
    pub(crate) redrives: u64,
    /// The entry's fields as pairs; none where its payload was lost.
    #[schema(value_type = Vec<Vec<String>>)]
    pub(crate) fields: Vec<(String, String)>,
}

/// What is among the dead letters and is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unreadable {
    pub(crate) letter_id: String,
    pub(crate) problem: String,
    #[schema(value_type = Vec<Vec<String>>)]
    pub(crate) fields: Vec<(String, String)>,
}

/// A dead letter, or what is there in its place.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LetterOrNot {
    Letter(DeadLetterJson),
    Unreadable(Unreadable),
}

impl From<&DeadLetter> for DeadLetterJson {
    fn from(letter: &DeadLetter) -> Self {
        let time = letter.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            letter_id: letter.id.to_string(),
            id: letter.entry_id.to_string(),
            consumer: letter.consumer.clone(),
            deliveries: letter.deliveries,
            reason: letter.reason.clone(),
            error: letter.error.clone(),
            time_ms: time.as_millis() as u64,
            redrives: letter.redrives,
            fields: pairs(&letter.fields),
        }
    }
}

impl From<&UnreadableDeadLetter> for Unreadable {
    fn from(letter: &UnreadableDeadLetter) -> Self {
        Self {
            letter_id: letter.id.to_string(),
            problem: letter.problem.clone(),
            fields: pairs(&letter.fields),
        }
    }
}

impl Filter {
    /// The filter and the range of letters as the library takes them.
    pub(crate) fn read(&self) -> Result<(DeadLetterFilter, RangeQuery), Problem> {
        let reason = self.reason.as_deref().map(|label| {
            let known = DeadReason::ALL.into_iter().find(|reason| reason.label() == label);
            known.ok_or_else(|| {
                let allowed = DeadReason::ALL.map(DeadReason::label).join(", ");
                problems::invalid_query(format!("reason: {} is none; allowed: {allowed}", quoted(label)))
            })
        });
        let fields = [("type", &self.event_type), ("order_id", &self.order_id)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let filter = DeadLetterFilter {
            reason: reason.transpose()?,
            entry_id: self.entry.as_deref().map(full_id).transpose()?,
            fields: fields.collect(),
        };
        let range = RangeQuery {
            start: self.since_ms.map_or(StreamId::MIN, |ms| StreamId::new(ms, 0)),
            end: self.until_ms.map_or(StreamId::MAX, |ms| StreamId::new(ms, u64::MAX)),
            direction: Direction::Forward,
        };
        Ok((filter, range))
    }
}

/// How many dead letters each group has.
pub(crate) async fn counts(app: &App) -> Result<Counts, Problem> {
    let read = async {
        let mut counts = Vec::new();
        for group in app.stream.groups().await?.into_iter().filter(stream_core::GroupInfo::is_addressable) {
            let letters = app.stream.dead_letters(&group.name);
            let (count, dropped) = (letters.count().await?, letters.dropped().await?);
            counts.push(GroupLetters { group: group.name, count, dropped });
        }
        Ok::<_, stream_core::Error>(counts)
    };
    Ok(Counts { groups: read.await.map_err(|error| problems::redis(&error))? })
}

/// Reads a page.
pub(crate) async fn page(app: &App, group: &str, query: Letters) -> Result<LettersPage, Problem> {
    let Letters { event_type, order_id, reason, entry, since_ms, until_ms, order, from, count: limit } =
        query;
    let limit = count(limit, COUNT_DEFAULT, COUNT_MAX)?;
    let from = from.as_deref().map(full_id).transpose()?;
    let (filter, mut range) = Filter { event_type, order_id, reason, entry, since_ms, until_ms }.read()?;
    if order == Some(Order::Asc) {
        range.start = from.map_or(range.start, |from| range.start.max(from));
    } else {
        range.direction = Direction::Backward;
        range.end = from.map_or(range.end, |from| range.end.min(from));
    }
    let query = DeadLetterQuery { filter, range, limit, scan_max: SCANNED_MAX };
    let page = app.stream.dead_letters(group).page(&query).await.map_err(|error| problems::redis(&error))?;
    Ok(LettersPage {
        letters: page.letters.iter().map(DeadLetterJson::from).collect(),
        unreadable: page.unreadable.iter().map(Unreadable::from).collect(),
        next: page.next.map(|rest| cursor(rest).to_string()),
        scanned: page.scanned,
    })
}

/// One dead letter by its own ID.
pub(crate) async fn letter(app: &App, group: &str, id: &str) -> Result<LetterOrNot, Problem> {
    let found = app.stream.dead_letters(group).get(full_id(id)?).await;
    match found.map_err(|error| problems::redis(&error))? {
        Some(Ok(letter)) => Ok(LetterOrNot::Letter((&letter).into())),
        Some(Err(unreadable)) => Ok(LetterOrNot::Unreadable((&unreadable).into())),
        None => {
            Err(Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-dead-letter", "No such dead letter")
                .detail(format!("the group {} has no dead letter {}", quoted(group), quoted(id))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_says_what_it_cannot_use() {
        let read = |json: &str| serde_json::from_str::<Filter>(json).unwrap().read();
        let (filter, range) =
            read(r#"{"type":"order.paid","reason":"poison","since_ms":5,"until_ms":6}"#).unwrap();
        assert_eq!(filter.reason, Some(DeadReason::Poison));
        assert_eq!(filter.fields, [("type".to_owned(), "order.paid".to_owned())]);
        assert_eq!((range.start, range.end), (StreamId::new(5, 0), StreamId::new(6, u64::MAX)));
        assert!(read("{}").unwrap().0.is_empty());
        for wrong in [r#"{"reason":"bored"}"#, r#"{"entry":"5"}"#] {
            assert_eq!(read(wrong).unwrap_err().status().as_u16(), 400, "{wrong}");
        }
        assert!(serde_json::from_str::<Filter>(r#"{"ordr_id":"x"}"#).is_err());
    }
}
