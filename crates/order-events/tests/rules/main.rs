//! Every rule of an order event by example, and the codecs by property.

mod bodies;
mod cloudevents;
mod cloudevents_properties;
mod entries;
mod fields;
mod properties;
