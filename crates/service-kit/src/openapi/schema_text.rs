//! A schema in a line, for people: what kind of value, and within which limits.

use serde_json::Value;

use super::html::Escaped;

/// The line, as HTML; named schemas are links to where the page shows them.
pub(super) fn line(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = Escaped(name);
        return format!(r##"<a href="#schema-{name}">{name}</a>"##);
    }
    for (keyword, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if let Some(parts) = schema[keyword].as_array() {
            return parts.iter().map(line).collect::<Vec<_>>().join(between);
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if !schema["const"].is_null() {
        return code(&schema["const"]);
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Value::String(kind) => kind.clone(),
        _ => "anything".to_owned(),
    };
    let mut text = match kinds.as_str() {
        "array" => format!("array of {}", line(&schema["items"])),
        "object" if schema["properties"].is_object() => members(schema),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object, each value {}", line(&schema["additionalProperties"]))
        }
        kinds => Escaped(kinds).to_string(),
    };
    for limit in limits(schema) {
        text += ", ";
        text += &limit;
    }
    text
}

/// The members of an object that has no name of its own.
fn members(schema: &Value) -> String {
    let members = schema["properties"].as_object().into_iter().flatten();
    let members = members.map(|(name, value)| format!("<code>{}</code>: {}", Escaped(name), line(value)));
    format!("object ({})", members.collect::<Vec<_>>().join("; "))
}

fn limits(schema: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    let ranges = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ];
    for (least, most, unit) in ranges {
        match (schema[least].as_number(), schema[most].as_number()) {
            (Some(least), Some(most)) => limits.push(format!("{least} to {most}{unit}")),
            (Some(least), None) => limits.push(format!("at least {least}{unit}")),
            (None, Some(most)) => limits.push(format!("at most {most}{unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        limits.push(format!("matching <code>{}</code>", Escaped(pattern)));
    }
    if !schema["default"].is_null() {
        limits.push(format!("by default {}", code(&schema["default"])));
    }
    limits
}

/// A value as it is written; a text without its quotes.
fn code(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("<code>{}</code>", Escaped(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_in_a_line() {
        let cases = [
            (json!({"$ref": "#/components/schemas/Event"}), r##"<a href="#schema-Event">Event</a>"##),
            (
                json!({"type": "integer", "minimum": 1, "maximum": 9, "default": 5}),
                "integer, 1 to 9, by default <code>5</code>",
            ),
            (json!({"type": ["string", "null"]}), "string or null"),
            (
                json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
                "array of string, at least 1 items",
            ),
            (json!({"enum": ["a", 1]}), "<code>a</code>, <code>1</code>"),
            (
                json!({"oneOf": [{"type": "string", "pattern": "^<"}, {}]}),
                "string, matching <code>^&lt;</code> or anything",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "object, each value string",
            ),
            (
                json!({"type": "object", "properties": {"a": {"const": true}}}),
                "object (<code>a</code>: <code>true</code>)",
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(line(&schema), expected, "{schema}");
        }
    }
}
