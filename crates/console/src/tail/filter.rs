//! Which entries of the tail somebody wants to see.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::entry_json::EntryJson;

/// What an entry must have; everything that is given and not empty.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// The event's type.
    #[serde(rename = "type")]
    event_type: Option<String>,
    order_id: Option<String>,
    customer: Option<String>,
    /// A text that is part of the value of any field.
    contains: Option<String>,
}

impl Filter {
    /// Whether it lets an entry through.
    pub(crate) fn fits(&self, entry: &EntryJson) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_ref().filter(|wanted| !wanted.is_empty()).is_none_or(|wanted| {
                entry.fields.iter().find(|(field, _)| field == name).is_some_and(|(_, value)| value == wanted)
            })
        };
        is("type", &self.event_type)
            && is("order_id", &self.order_id)
            && is("customer", &self.customer)
            && self
                .contains
                .as_ref()
                .is_none_or(|text| entry.fields.iter().any(|(_, value)| value.contains(text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_given_must_fit() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let entry = EntryJson {
            id: "5-1".to_owned(),
            fields: vec![pair("type", "order.paid"), pair("customer", "alice"), pair("note", "a <b>")],
        };
        let fits = |json: &str| serde_json::from_str::<Filter>(json).unwrap().fits(&entry);
        for json in [
            "{}",
            r#"{"type":"","order_id":"","contains":""}"#,
            r#"{"type":"order.paid","customer":"alice","contains":"<b"}"#,
        ] {
            assert!(fits(json), "{json}");
        }
        for json in
            [r#"{"type":"order.placed"}"#, r#"{"order_id":"o-1"}"#, r#"{"type":"order.paid","contains":"x"}"#]
        {
            assert!(!fits(json), "{json}");
        }
    }
}
