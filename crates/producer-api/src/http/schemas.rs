//! The schemas of what is sent and answered, for the document; those of answers that are structs are theirs.

use std::borrow::Cow;

use order_events::{MAX_BATCH_EVENTS, MAX_FIELDS, MAX_TEXT_CHARS, MAX_TS_MS};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type,
        schema::{AdditionalProperties, SchemaType},
    },
};

/// An ID as a text: two numbers of 64 bits, or nearly so, as no clock comes so far.
const ID_PATTERN: &str = "^([0-9]{1,19}|1[0-7][0-9]{18})-([0-9]{1,19}|1[0-7][0-9]{18})$";

/// A key as a quoted string or as a token, with parameters that mean nothing.
const KEY_PATTERN: &str = r#"^("([ !#-\[\]-~]|\\[\\"])*[!#-\[\]-~]([ !#-\[\]-~]|\\[\\"])*"|[!#$%&'*+./0-9:=A-Z^_`a-z|~-]+)(;[ -~]*)?$"#;

/// An event as a client sends it.
pub(super) struct Event;

/// What `POST /v1/events` takes: an event, or several.
pub(super) struct EventOrBatch;

/// By what a request is recognized when it is sent again.
pub(super) struct IdempotencyKey;

/// What a request waits for.
pub(super) struct DurabilityPreference;

/// An entry as it is read.
pub(super) struct StoredEvent;

/// The ID of an entry.
pub(super) struct EventId;

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn printable(description: &str) -> Object {
    // No control characters; the rest of the rule is in the description.
    text(description)
        .min_length(Some(1))
        .max_length(Some(MAX_TEXT_CHARS))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
        .build()
}

impl PartialSchema for Event {
    fn schema() -> RefOr<Schema> {
        let amount = OneOfBuilder::new()
            .description(Some(
                "From 0 to 10000000000, with at most two decimals and without exponent. Stored with two.",
            ))
            .item(
                ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,10}([.][0-9]{1,2})?$")),
            )
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::Number)
                    .minimum(Some(0))
                    .maximum(Some(10_000_000_000_i64)),
            )
            .examples([json!("49.50")])
            .build();
        let ts_ms = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("When it happened, in Unix milliseconds; by default when it is received. At most 24 hours ahead."))
            .minimum(Some(0))
            .maximum(Some(MAX_TS_MS as i64))
            .build();
        let scalar = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Number, Type::Boolean]))
            .build();
        let names =
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).pattern(Some("^[^_]")).build();
        ObjectBuilder::new()
            .description(Some(
                "An order event. Beside the fields listed, any others with a string, a number or a boolean; none is null or nested, and \
                 none begins with `_`, which is the pipeline's.",
            ))
            .property("type", printable("One of the types that the service is configured with (`stream.event_types`)"))
            .property("order_id", printable("The order: printable characters"))
            .property("customer", printable("Whose order it is: printable characters"))
            .property("amount", Schema::OneOf(amount))
            .property("ts_ms", ts_ms)
            .property("id", printable("The producer's own ID of the event: what has one is stored once within `producer.event_id_window`, however often it is sent. Kept as `_id`"))
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(scalar)))))
            .property_names(Some(Schema::Object(names)))
            .max_properties(Some(MAX_FIELDS))
            .required("type")
            .required("order_id")
            .required("customer")
            .required("amount")
            .examples([json!({"type": "order.paid", "order_id": "o-1001", "customer": "c-7", "amount": "49.50"})])
            .build()
            .into()
    }
}

impl ToSchema for Event {}

impl PartialSchema for EventOrBatch {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name(Event::name());
        let batch = ArrayBuilder::new().items(event()).min_items(Some(1)).max_items(Some(MAX_BATCH_EVENTS));
        let one_of = OneOfBuilder::new().description(Some("One event, or a batch of them"));
        Schema::OneOf(one_of.item(event()).item(batch).build()).into()
    }
}

impl ToSchema for EventOrBatch {}

impl PartialSchema for IdempotencyKey {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(KEY_PATTERN))
            .max_length(Some(MAX_TEXT_CHARS))
            .examples([json!("8e03978e-40d5-43dd-bc93-6894a57f9324")])
            .build()
            .into()
    }
}

impl ToSchema for IdempotencyKey {}

impl PartialSchema for DurabilityPreference {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["durability=none", "durability=replica", "durability=fsync"]))
            .examples([json!("durability=none")])
            .build()
            .into()
    }
}

impl ToSchema for DurabilityPreference {}

impl PartialSchema for StoredEvent {
    fn schema() -> RefOr<Schema> {
        let values = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::String))
            .item(
                ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String)).min_items(Some(2)),
            )
            .build();
        let fields = ObjectBuilder::new()
            .description(Some(
                "Every field, in order, as text. A name that is there more than once has all its values. An entry that another program \
                 wrote may lack any of an event's fields.",
            ))
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::OneOf(values)))))
            .build();
        let lossy = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .enum_values(Some([true]))
            .description(Some("There if the entry is not UTF-8: what is not is shown as U+FFFD"))
            .build();
        ObjectBuilder::new()
            .description(Some("An entry of the stream"))
            .property("id", Ref::from_schema_name(EventId::name()))
            .property("lossy", lossy)
            .property("fields", fields)
            .required("id")
            .required("fields")
            .build()
            .into()
    }
}

impl ToSchema for StoredEvent {}

impl PartialSchema for EventId {
    fn schema() -> RefOr<Schema> {
        text("The ID of an entry: milliseconds and a sequence number. IDs grow.")
            .pattern(Some(ID_PATTERN))
            .examples([json!("1716998413541-0")])
            .build()
            .into()
    }
}

impl ToSchema for EventId {
    fn name() -> Cow<'static, str> {
        "EventId".into()
    }
}
