//! [`DeadLetter`]: the story of an entry that could not be handled, and the entry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{DeadReason, Entry, Fields, StreamId};

/// The fields that every dead letter begins with, in their order.
const STORY: [&str; 7] =
    ["_dl_id", "_dl_group", "_dl_consumer", "_dl_deliveries", "_dl_reason", "_dl_error", "_dl_time_ms"];
/// Follows them where the entry had been sent back before.
const REDRIVES: &str = "_dl_redrives";

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its own ID among the dead letters; its milliseconds are the server's time of death.
    pub id: StreamId,
    /// The ID of the entry in the stream.
    pub entry_id: StreamId,
    /// The group that could not handle it.
    pub group: String,
    /// The consumer that had it last.
    pub consumer: String,
    /// How often it was delivered.
    pub deliveries: u64,
    /// Why it died: a [`DeadReason`]'s label, or one that a later version has introduced.
    pub reason: String,
    /// What was the matter, for people.
    pub error: String,
    /// When it died.
    pub time: SystemTime,
    /// How often it had been sent back to the group before.
    pub redrives: u64,
    /// The entry's fields, byte for byte; none where its payload was lost.
    pub fields: Fields,
}

/// An entry among the dead letters that is not one: somebody else has written it. It cannot be sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableDeadLetter {
    /// Its own ID.
    pub id: StreamId,
    /// Why it cannot be read.
    pub problem: String,
    /// What it holds.
    pub fields: Fields,
}

impl DeadLetter {
    /// Whether there is no payload that could be sent back.
    pub fn payload_lost(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn parse(entry: Entry) -> Result<Self, UnreadableDeadLetter> {
        match Self::read(&entry) {
            Ok(letter) => Ok(letter),
            Err(problem) => Err(UnreadableDeadLetter { id: entry.id, problem, fields: entry.fields }),
        }
    }

    fn read(entry: &Entry) -> Result<Self, String> {
        let pairs = entry.fields.pairs();
        let mut story = [""; 7];
        for ((at, name), value) in STORY.iter().enumerate().zip(&mut story) {
            let (_, found) = pairs
                .get(at)
                .filter(|(field, _)| field == name.as_bytes())
                .ok_or_else(|| format!("its field {} is not {name}", at + 1))?;
            *value = std::str::from_utf8(found).map_err(|_| format!("{name} is not UTF-8"))?;
        }
        let [id, group, consumer, deliveries, reason, error, time_ms] = story;
        let number =
            |name: &str, text: &str| text.parse::<u64>().map_err(|_| format!("{name} is not a whole number"));
        let entry_id = if id.contains('-') { id.parse().ok() } else { None };
        let time = Duration::from_millis(number("_dl_time_ms", time_ms)?);
        let redrives = pairs.get(STORY.len()).filter(|(field, _)| field == REDRIVES.as_bytes());
        let sent_back =
            redrives.map(|(_, value)| number(REDRIVES, &String::from_utf8_lossy(value))).transpose()?;
        Ok(Self {
            id: entry.id,
            entry_id: entry_id.ok_or("_dl_id is not a stream ID")?,
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            deliveries: number("_dl_deliveries", deliveries)?,
            reason: reason.to_owned(),
            error: error.to_owned(),
            time: UNIX_EPOCH.checked_add(time).ok_or("_dl_time_ms is beyond any calendar")?,
            redrives: sent_back.unwrap_or(0),
            fields: Fields::new(pairs[STORY.len() + usize::from(sent_back.is_some())..].to_vec()),
        })
    }

    /// Whether it died for this reason.
    pub fn died_of(&self, reason: DeadReason) -> bool {
        self.reason == reason.label()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pairs: &[(&'static str, &'static str)]) -> Entry {
        Entry { id: StreamId::new(9, 1), fields: pairs.iter().copied().collect() }
    }

    const TOLD: [(&str, &str); 7] = [
        ("_dl_id", "5-1"),
        ("_dl_group", "g"),
        ("_dl_consumer", "c"),
        ("_dl_deliveries", "3"),
        ("_dl_reason", "from_a_later_version"),
        ("_dl_error", "no"),
        ("_dl_time_ms", "1500"),
    ];

    #[test]
    fn the_story_is_read_and_the_rest_is_the_entry() {
        let original = [("b", "1"), ("_dl_id", "2"), ("b", "3")];
        let letter = DeadLetter::parse(entry(&[&TOLD[..], &original].concat())).unwrap();
        assert_eq!((letter.entry_id, letter.deliveries, letter.redrives), (StreamId::new(5, 1), 3, 0));
        assert_eq!(letter.time, UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(letter.fields, original.into_iter().collect());
        assert!(!letter.payload_lost() && !letter.died_of(DeadReason::Poison));
        let again = [&TOLD[..], &[("_dl_redrives", "2")], &original].concat();
        let again = DeadLetter::parse(entry(&again)).unwrap();
        assert_eq!((again.redrives, again.fields), (2, letter.fields));
        assert!(DeadLetter::parse(entry(&TOLD)).unwrap().payload_lost());
    }

    #[test]
    fn what_is_no_dead_letter_is_told_and_kept() {
        let with = |at: usize, value| {
            let mut told = TOLD;
            told[at].1 = value;
            told
        };
        let redrives = [&TOLD[..], &[("_dl_redrives", "x")]].concat();
        let broken: [(&[(&str, &str)], &str); 6] = [
            (&[("a", "1")], "its field 1 is not _dl_id"),
            (&TOLD[..6], "its field 7 is not _dl_time_ms"),
            (&with(0, "5"), "_dl_id is not a stream ID"),
            (&with(3, "-1"), "_dl_deliveries is not a whole number"),
            (&with(6, ""), "_dl_time_ms is not a whole number"),
            (&redrives, "_dl_redrives is not a whole number"),
        ];
        for (pairs, problem) in broken {
            let entry = Entry {
                id: StreamId::new(9, 1),
                fields: pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
            };
            let unreadable = DeadLetter::parse(entry.clone()).unwrap_err();
            assert_eq!((unreadable.problem.as_str(), unreadable.fields), (problem, entry.fields));
        }
    }
}
