//! Replies of the stream commands, decoded by moving the bytes out of the parsed value.
//!
//! redis-rs' own types clone the whole reply, and keep fields in a map, which loses their order and
//! their duplicates. The small `take_*` functions are the whole vocabulary; every reply is built of them.

use bytes::Bytes;
use redis::{FromRedisValue, ParsingError, Value};

use crate::{Entry, Fields, StreamId};

/// The error of a reply whose shape is not the documented one.
pub(crate) fn unexpected(what: &str) -> ParsingError {
    ParsingError::from(format!("unexpected reply: {what}"))
}

pub(crate) fn take_array(value: Value) -> Result<Vec<Value>, ParsingError> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        Value::Map(pairs) => Ok(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        _ => Err(unexpected("expected an array")),
    }
}

/// An array of exactly `N` elements; more are cut off, since newer servers append to their replies.
pub(crate) fn take_tuple<const N: usize>(value: Value) -> Result<[Value; N], ParsingError> {
    let mut items = take_array(value)?;
    items.truncate(N);
    items.try_into().map_err(|_| unexpected("an array is shorter than documented"))
}

pub(crate) fn take_bytes(value: Value) -> Result<Bytes, ParsingError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::SimpleString(text) => Ok(text.into()),
        Value::Int(number) => Ok(number.to_string().into()),
        _ => Err(unexpected("expected a string")),
    }
}

/// Text. On the server every name is arbitrary bytes, and one that somebody else chose must not fail a whole
/// reply: what is not UTF-8 becomes U+FFFD, so that such a name can be shown but names nothing any more.
pub(crate) fn take_string(value: Value) -> Result<String, ParsingError> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        Value::SimpleString(text) => Ok(text),
        _ => Err(unexpected("expected a string")),
    }
}

pub(crate) fn take_int(value: Value) -> Result<i64, ParsingError> {
    match value {
        Value::Int(number) => Ok(number),
        other => i64::from_redis_value(other).map_err(|_| unexpected("expected a whole number")),
    }
}

pub(crate) fn take_id(value: Value) -> Result<StreamId, ParsingError> {
    match value {
        Value::BulkString(bytes) => StreamId::from_bytes(&bytes),
        Value::SimpleString(text) => StreamId::from_bytes(text.as_bytes()),
        _ => return Err(unexpected("expected a stream ID")),
    }
    .map_err(|error| unexpected(&error.to_string()))
}

pub(crate) fn take_ids(value: Value) -> Result<Vec<StreamId>, ParsingError> {
    take_array(value)?.into_iter().map(take_id).collect()
}

/// Field and value alternating, in the order Redis keeps them.
pub(crate) fn take_fields(value: Value) -> Result<Fields, ParsingError> {
    let flat = take_array(value)?;
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    let mut items = flat.into_iter();
    while let (Some(field), Some(value)) = (items.next(), items.next()) {
        pairs.push((take_bytes(field)?, take_bytes(value)?));
    }
    Ok(Fields::new(pairs))
}

/// Entries of XRANGE's shape, `[[id, [field, value, …]], …]`; an entry that was deleted is `[id, nil]`.
#[derive(Debug, Default)]
pub(crate) struct EntriesReply {
    pub(crate) entries: Vec<Entry>,
    /// IDs that came without a payload: deleted or trimmed while pending.
    pub(crate) deleted: Vec<StreamId>,
}

impl FromRedisValue for EntriesReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let rows = take_array(value)?;
        let mut reply = Self { entries: Vec::with_capacity(rows.len()), deleted: Vec::new() };
        for row in rows {
            if row == Value::Nil {
                continue;
            }
            let [id, fields] = take_tuple(row)?;
            let id = take_id(id)?;
            match fields {
                Value::Nil => reply.deleted.push(id),
                fields => reply.entries.push(Entry { id, fields: take_fields(fields)? }),
            }
        }
        Ok(reply)
    }
}

/// The reply of XREAD and XREADGROUP for one stream: nil, or `[[key, entries]]`.
#[derive(Debug, Default)]
pub(crate) struct ReadReply(pub(crate) EntriesReply);

impl FromRedisValue for ReadReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let entries = match value {
            Value::Nil => return Ok(Self::default()),
            // RESP3 sends a map, RESP2 an array of pairs.
            Value::Map(streams) => streams.into_iter().next().map(|(_, entries)| entries),
            streams => match take_array(streams)?.into_iter().next() {
                Some(stream) => Some(take_tuple::<2>(stream).map(|[_, entries]| entries)?),
                None => None,
            },
        };
        entries.map(EntriesReply::from_redis_value).transpose().map(|reply| Self(reply.unwrap_or_default()))
    }
}

/// A flat `[name, value, …]` reply (XINFO), looked up by name.
pub(crate) struct NamedReply(Vec<(String, Value)>);

impl NamedReply {
    /// Takes the value called `name` out of the reply.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn require(&mut self, name: &str) -> Result<Value, ParsingError> {
        self.take(name).ok_or_else(|| unexpected(&format!("no field {name}")))
    }
}

impl FromRedisValue for NamedReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut pairs = Vec::new();
        let mut items = take_array(value)?.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            pairs.push((take_string(name)?, value));
        }
        Ok(Self(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn order_and_duplicates_of_fields_survive() {
        let fields = Value::Array(vec![bulk("b"), bulk("1"), bulk("a"), bulk("2"), bulk("b"), bulk("3")]);
        let reply = Value::Array(vec![Value::Array(vec![bulk("5-1"), fields])]);
        let entries = EntriesReply::from_redis_value(reply).unwrap().entries;
        let pairs: Vec<_> = entries[0].fields.iter().collect();
        assert_eq!(pairs, [(&b"b"[..], &b"1"[..]), (b"a", b"2"), (b"b", b"3")]);
    }

    #[test]
    fn a_deleted_entry_is_told_apart_from_an_empty_one() {
        let reply = Value::Array(vec![Value::Array(vec![bulk("5-1"), Value::Nil])]);
        let reply = EntriesReply::from_redis_value(reply).unwrap();
        assert_eq!((reply.entries.len(), reply.deleted), (0, vec![StreamId::new(5, 1)]));
    }

    #[test]
    fn a_reply_of_another_shape_is_an_error() {
        assert!(EntriesReply::from_redis_value(Value::Okay).is_err());
        assert!(EntriesReply::from_redis_value(Value::Array(vec![Value::Array(vec![bulk("x")])])).is_err());
        assert!(ReadReply::from_redis_value(Value::Int(3)).is_err());
    }
}
