//! Lines of a body that arrives in pieces, one at a time, however the pieces are cut.
//!
//! A line ends with LF or CRLF, the last one also with the body. Blank lines count and are not given out; a UTF-8 byte
//! order mark at the beginning is skipped. A line over the limit is told as soon as it is over, and the rest of it is
//! skipped without being held.

use axum::body::Bytes;
use bytes::BytesMut;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What may be around a line of the largest size: a byte order mark and a carriage return.
const AROUND_BYTES: usize = BYTE_ORDER_MARK.len() + 1;

/// A line, numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without its end; not blank.
    Whole { number: u64, text: Bytes },
    /// It has more bytes than the limit.
    TooLong { number: u64 },
}

/// Where in the body we are.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    begun: BytesMut,
    /// Complete lines so far.
    complete: u64,
    /// The line that has begun is too long: what comes of it is dropped.
    skipping: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, begun: BytesMut::new(), complete: 0, skipping: false }
    }

    /// The number of the line that has not been given out yet, or the next one.
    pub(super) const fn upcoming(&self) -> u64 {
        self.complete + if self.skipping { 2 } else { 1 }
    }

    /// The next line that ends, or becomes too long, within `piece`, which is left with what comes after it. `None` once
    /// the piece is used up.
    pub(super) fn next(&mut self, piece: &mut Bytes) -> Option<Line> {
        while !piece.is_empty() {
            let end = piece.iter().position(|byte| *byte == b'\n');
            let part = piece.split_to(end.unwrap_or(piece.len()));
            if end.is_some() {
                *piece = piece.slice(1..);
            }
            let too_long = self.begun.len() + part.len() > self.limit + AROUND_BYTES;
            let line = match (self.skipping, end.is_some()) {
                (true, ends) => {
                    self.skipping = !ends;
                    self.complete += u64::from(ends);
                    None
                }
                (false, true) if too_long => {
                    self.begun = BytesMut::new();
                    self.complete += 1;
                    Some(Line::TooLong { number: self.complete })
                }
                (false, false) if too_long => {
                    self.begun = BytesMut::new();
                    self.skipping = true;
                    Some(Line::TooLong { number: self.complete + 1 })
                }
                (false, true) => {
                    // Most lines lie within one piece: they are shared with it, not copied.
                    let text = if self.begun.is_empty() { part } else { self.join(&part) };
                    self.completed(text)
                }
                (false, false) => {
                    self.begun.extend_from_slice(&part);
                    None
                }
            };
            if line.is_some() {
                return line;
            }
        }
        None
    }

    /// The last line, if it has no end of its own. To be called once, at the end of the body.
    pub(super) fn last(&mut self) -> Option<Line> {
        if self.skipping {
            self.skipping = false;
            self.complete += 1;
        }
        if self.begun.is_empty() {
            return None;
        }
        let text = self.join(&[]);
        self.completed(text)
    }

    fn join(&mut self, part: &[u8]) -> Bytes {
        let mut begun = std::mem::take(&mut self.begun);
        begun.extend_from_slice(part);
        begun.freeze()
    }

    fn completed(&mut self, mut text: Bytes) -> Option<Line> {
        self.complete += 1;
        let number = self.complete;
        if number == 1 && text.starts_with(BYTE_ORDER_MARK) {
            text = text.slice(BYTE_ORDER_MARK.len()..);
        }
        if text.ends_with(b"\r") {
            text.truncate(text.len() - 1);
        }
        if text.len() > self.limit {
            return Some(Line::TooLong { number });
        }
        (!text.trim_ascii().is_empty()).then_some(Line::Whole { number, text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(line) = lines.next(&mut piece) {
                found.push(line);
            }
            assert!(piece.is_empty() && lines.begun.len() <= limit + AROUND_BYTES);
        }
        found.extend(lines.last());
        found
    }

    fn whole(number: u64, text: &'static str) -> Line {
        Line::Whole { number, text: Bytes::from_static(text.as_bytes()) }
    }

    #[test]
    fn lines_end_in_every_usual_way() {
        assert_eq!(lines(9, &[b"a\nb\r\nc"]), [whole(1, "a"), whole(2, "b"), whole(3, "c")]);
        assert_eq!(lines(9, &[b"a\n"]), [whole(1, "a")]);
        assert_eq!(lines(9, &[]), []);
        assert_eq!(lines(9, &[b"a\rb\n"]), [whole(1, "a\rb")], "a lone CR ends nothing");
    }

    #[test]
    fn blank_lines_count() {
        assert_eq!(lines(9, &[b"\n\r\n \t\na\n\n"]), [whole(4, "a")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_alone() {
        assert_eq!(lines(9, &[b"\xef", b"\xbb\xbfa\n\xef\xbb\xbfb"]), [whole(1, "a"), whole(2, "\u{feff}b")]);
        assert_eq!(lines(9, &[b"\xef\xbb\xbf\r\na"]), [whole(2, "a")]);
    }

    #[test]
    fn the_limit_does_not_count_what_is_around() {
        assert_eq!(lines(3, &[b"\xef\xbb\xbfabc\r\nabc\nabcd\nabcd\r\nabc"]).len(), 5);
        let found = lines(3, &[b"\xef\xbb\xbfabc\r\nabc\nabcd\nabcd\r\nabc"]);
        assert_eq!(found[2..4], [Line::TooLong { number: 3 }, Line::TooLong { number: 4 }]);
    }

    #[test]
    fn a_line_without_end_is_told_once_and_skipped() {
        let mut lines = Lines::new(10);
        let mut told = Vec::new();
        for _ in 0..1_000 {
            let mut piece = Bytes::from_static(b"0123456789");
            told.extend(lines.next(&mut piece));
            assert!(piece.is_empty() && lines.begun.capacity() <= 64);
        }
        assert_eq!((told, lines.upcoming()), (vec![Line::TooLong { number: 1 }], 2));
        let mut piece = Bytes::from_static(b"x\nok\n");
        assert_eq!(lines.next(&mut piece), Some(whole(2, "ok")));
    }

    /// The rule said simply, for a body that is held as a whole.
    fn expected(limit: usize, body: &[u8]) -> Vec<Line> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let lines = body.split(|byte| *byte == b'\n').zip(1..).filter_map(|(line, number)| {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            match text {
                _ if text.len() > limit => Some(Line::TooLong { number }),
                _ if text.trim_ascii().is_empty() => None,
                _ => Some(Line::Whole { number, text: Bytes::copy_from_slice(text) }),
            }
        });
        lines.collect()
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_body_is_cut(
            body in vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(0xef), Just(0xbb), Just(0xbf), any::<u8>()], 0..200),
            mark in any::<bool>(), cuts in vec(0_usize..220, 0..20), limit in 1_usize..12,
        ) {
            let body = if mark { [BYTE_ORDER_MARK, &body].concat() } else { body };
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
            prop_assert_eq!(lines(limit, &pieces), expected(limit, &body));
        }
    }
}
