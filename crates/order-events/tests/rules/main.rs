//! Every rule of an order event by example, and the codecs by property.

mod bodies;
mod entries;
mod fields;
mod properties;
