//! The OpenAPI document as a page: every operation with its parameters, bodies, answers and examples.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    html::{Escaped, inline, prose},
    schema_text::line,
};

/// In the order in which they are shown.
const METHODS: [&str; 5] = ["post", "put", "get", "patch", "delete"];

/// The page.
pub(super) fn render(document: &Value) -> String {
    let title = Escaped(text(&document["info"]["title"]));
    let operations = operations(document);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <header>\n<h1>{title} <small>{version}</small></h1>\n{description}\
         <p>As OpenAPI {openapi}: <a href=\"/openapi.json\">/openapi.json</a></p>\n</header>\n",
        version = Escaped(text(&document["info"]["version"])),
        description = prose(text(&document["info"]["description"])),
        openapi = Escaped(text(&document["openapi"])),
    );
    html += "<nav aria-label=\"Operations\">\n<ul>\n";
    for operation in &operations {
        let (id, label, summary) = (operation.id(), operation.label(), inline(operation.summary()));
        _ = writeln!(html, "<li><a href=\"#{id}\">{label}</a> <span>{summary}</span></li>");
    }
    html += "</ul>\n</nav>\n<main>\n";
    for operation in &operations {
        operation.write(&mut html);
    }
    write_schemas(&mut html, &document["components"]["schemas"]);
    html + "</main>\n</body>\n</html>\n"
}

/// One operation of the document.
struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    json: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |&method| Some(Operation { method, path, json: item.get(method)? }))
    });
    operations.collect()
}

impl Operation<'_> {
    fn id(&self) -> String {
        Escaped(text(&self.json["operationId"])).to_string()
    }

    fn label(&self) -> String {
        let (method, path) = (self.method.to_uppercase(), Escaped(self.path));
        format!("<b class=\"{}\">{method}</b> <code>{path}</code>", self.method)
    }

    fn summary(&self) -> &str {
        text(&self.json["summary"])
    }

    fn write(&self, html: &mut String) {
        let (id, label, summary) = (self.id(), self.label(), inline(self.summary()));
        _ = writeln!(html, "<section id=\"{id}\">\n<h2>{label}</h2>\n<p class=\"summary\">{summary}</p>");
        *html += &prose(text(&self.json["description"]));
        self.write_parameters(html);
        if self.json["requestBody"].is_object() {
            *html += "<h3>Body</h3>\n";
            *html += &prose(text(&self.json["requestBody"]["description"]));
            write_contents(html, &self.json["requestBody"]["content"]);
        }
        *html += "<h3>Answers</h3>\n";
        for (status, answer) in self.json["responses"].as_object().into_iter().flatten() {
            write_answer(html, status, answer);
        }
        *html += "</section>\n";
    }

    fn write_parameters(&self, html: &mut String) {
        let Some(parameters) = self.json["parameters"].as_array() else { return };
        *html += "<h3>Parameters</h3>\n<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Name</th>\
                  <th scope=\"col\">In</th><th scope=\"col\">Value</th><th scope=\"col\">Meaning</th></tr></thead>\n<tbody>\n";
        for parameter in parameters {
            let required = if parameter["required"] == true { " <em>required</em>" } else { "" };
            let (name, place) = (Escaped(text(&parameter["name"])), Escaped(text(&parameter["in"])));
            let (value, meaning) = (line(&parameter["schema"]), inline(text(&parameter["description"])));
            _ = writeln!(
                html,
                "<tr><td><code>{name}</code>{required}</td><td>{place}</td><td>{value}</td><td>{meaning}</td></tr>"
            );
        }
        *html += "</tbody>\n</table></div>\n";
    }
}

fn write_answer(html: &mut String, status: &str, answer: &Value) {
    let class = status.get(..1).unwrap_or_default();
    let description = inline(text(&answer["description"]));
    let status = Escaped(status);
    _ = writeln!(html, "<details>\n<summary><b class=\"s{class}\">{status}</b> {description}</summary>");
    for (name, header) in answer["headers"].as_object().into_iter().flatten() {
        let (name, meaning) = (Escaped(name), inline(text(&header["description"])));
        _ = writeln!(html, "<p>Header <code>{name}</code>: {meaning}</p>");
    }
    write_contents(html, &answer["content"]);
    *html += "</details>\n";
}

/// Bodies by media type, each with its schema and examples.
fn write_contents(html: &mut String, contents: &Value) {
    for (media_type, content) in contents.as_object().into_iter().flatten() {
        let (media_type, schema) = (Escaped(media_type), line(&content["schema"]));
        _ = writeln!(html, "<p><code>{media_type}</code>: {schema}</p>");
        if !content["example"].is_null() {
            write_example(html, "example", &content["example"]);
        }
        for (name, example) in content["examples"].as_object().into_iter().flatten() {
            write_example(html, name, &example["value"]);
        }
    }
}

fn write_example(html: &mut String, name: &str, value: &Value) {
    let shown = match value {
        // A body that is no JSON.
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    };
    let (name, shown) = (Escaped(name), Escaped(shown));
    _ = writeln!(
        html,
        "<figure>\n<figcaption>{name}</figcaption>\n<pre tabindex=\"0\"><code>{shown}</code></pre>\n</figure>"
    );
}

fn write_schemas(html: &mut String, schemas: &Value) {
    let Some(schemas) = schemas.as_object().filter(|schemas| !schemas.is_empty()) else { return };
    *html += "<section>\n<h2>Schemas</h2>\n";
    for (name, schema) in schemas {
        let name = Escaped(name);
        _ = writeln!(html, "<h3 id=\"schema-{name}\">{name}</h3>");
        *html += &prose(text(&schema["description"]));
        let Some(properties) = schema["properties"].as_object() else {
            _ = writeln!(html, "<p>{}</p>", line(schema));
            continue;
        };
        let required =
            |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
        *html += "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Member</th><th scope=\"col\">Value</th>\
                  <th scope=\"col\">Meaning</th></tr></thead>\n<tbody>\n";
        for (name, value) in properties {
            let mark = if required(name) { " <em>required</em>" } else { "" };
            let (name, kind, meaning) = (Escaped(name), line(value), inline(text(&value["description"])));
            _ = writeln!(
                html,
                "<tr><td><code>{name}</code>{mark}</td><td>{kind}</td><td>{meaning}</td></tr>"
            );
        }
        if schema["additionalProperties"].is_object() {
            let kind = line(&schema["additionalProperties"]);
            _ = writeln!(html, "<tr><td>any other</td><td>{kind}</td><td></td></tr>");
        }
        *html += "</tbody>\n</table></div>\n";
    }
    *html += "</section>\n";
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_of_the_document_is_on_the_page_and_nothing_is_markup() {
        let page = render(&json!({
            "openapi": "3.1.0",
            "info": {"title": "A <b>", "version": "1.2.3", "description": "Of `things`."},
            "paths": {"/things/{id}": {"get": {
                "operationId": "thing", "summary": "One thing", "description": "Never <script>.",
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}, "description": "Its `id`"}],
                "requestBody": {"description": "Asked", "content": {"text/plain": {"example": "a < b"}}},
                "responses": {"404": {"description": "None", "headers": {"Retry-After": {"description": "Seconds"}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/T"}, "examples": {"no": {"value": {"a": "</pre>"}}}}}}},
            }}},
            "components": {"schemas": {"T": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "description": "An a"}}}}},
        }));
        for part in [
            "<title>A &lt;b&gt;</title>",
            "1.2.3",
            "<p>Of <code>things</code>.</p>",
            "<a href=\"#thing\">",
            "Never &lt;script&gt;.",
            "<b class=\"get\">GET</b> <code>/things/{id}</code>",
            "<td><code>id</code> <em>required</em></td><td>path</td><td>integer</td>",
            "a &lt; b",
            "<b class=\"s4\">404</b> None",
            "Header <code>Retry-After</code>: Seconds",
            "&lt;/pre&gt;",
            "<h3 id=\"schema-T\">T</h3>",
            "<td><code>a</code> <em>required</em></td><td>string</td><td>An a</td>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script"), "{page}");
    }
}
