//! [`Answers`]: what one operation answers, by status, with an example of each.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        AllOfBuilder, Content, ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
        Schema, Type, example::ExampleBuilder, header::HeaderBuilder, schema::AdditionalProperties,
    },
};

use crate::{Problem, problem};

/// The answers of one operation. An [`IntoResponses`](utoipa::IntoResponses) gives them to the document.
#[derive(Default)]
pub struct Answers(BTreeMap<u16, Answer>);

#[derive(Default)]
struct Answer {
    description: String,
    headers: BTreeMap<&'static str, Header>,
    contents: BTreeMap<&'static str, Content>,
    problems: Vec<Problem>,
}

impl Answers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An answer with a body of the schema `T`, which the document must list among its components. Each example has a name.
    #[must_use]
    pub fn json<T: ToSchema>(
        self,
        status: u16,
        description: &str,
        examples: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        self.content(status, "application/json", description, Ref::from_schema_name(T::name()), examples)
    }

    /// An answer in any media type. A status may have several.
    #[must_use]
    pub fn content(
        mut self,
        status: u16,
        media_type: &'static str,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
        examples: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let examples = examples.into_iter().map(|(name, value)| (name, example(value)));
        let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
        let answer = self.0.entry(status).or_default();
        description.clone_into(&mut answer.description);
        answer.contents.insert(media_type, content);
        self
    }

    /// A header of the answers with this status.
    #[must_use]
    pub fn header(mut self, status: u16, name: &'static str, description: &str, example: &str) -> Self {
        let header = header(Type::String, description, json!(example));
        self.0.entry(status).or_default().headers.insert(name, header);
        self
    }

    /// Problems, each under its status, as they are answered.
    #[must_use]
    pub fn problems(mut self, problems: impl IntoIterator<Item = Problem>) -> Self {
        for problem in problems {
            self.0.entry(problem.status().as_u16()).or_default().problems.push(problem);
        }
        self
    }

    /// The answers as the document has them.
    pub fn build(self) -> BTreeMap<String, RefOr<Response>> {
        self.0.into_iter().map(|(status, answer)| (status.to_string(), answer.build().into())).collect()
    }
}

impl Answer {
    fn build(mut self) -> Response {
        if !self.problems.is_empty() {
            self.add_problems();
        }
        let mut response = ResponseBuilder::new().description(self.description);
        for (name, header) in self.headers {
            response = response.header(name, header);
        }
        for (media_type, content) in self.contents {
            response = response.content(media_type, content);
        }
        response.build()
    }

    /// All problems of a status share a schema that names their types, and each is an example under the name of its type.
    fn add_problems(&mut self) {
        let json: Vec<Value> = self.problems.iter().map(Problem::to_json).collect();
        let kinds: Vec<&str> = json.iter().filter_map(|problem| problem["type"].as_str()).collect();
        let mut distinct = kinds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(distinct.clone())).build();
        let schema = AllOfBuilder::new()
            .item(Ref::from_schema_name(ProblemDetails::name()))
            .item(ObjectBuilder::new().property("type", kind).required("type"))
            .build();
        let schema = Schema::AllOf(schema);
        let mut examples = BTreeMap::new();
        for (kind, problem) in kinds.iter().zip(&json) {
            let name = kind.rsplit('/').next().unwrap_or_default();
            let earlier = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            let name = earlier.into_iter().find(|name| !examples.contains_key(name)).unwrap_or_default();
            examples.insert(name, example(problem.clone()));
        }
        let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
        self.contents.insert(problem::CONTENT_TYPE, content);
        if self.problems.iter().any(|problem| problem.retry_after_seconds().is_some()) {
            let example = self.problems.iter().find_map(Problem::retry_after_seconds);
            let description = "Seconds to wait before trying again";
            self.headers.insert("Retry-After", header(Type::Integer, description, json!(example)));
        }
        if self.description.is_empty() {
            let titles = json.iter().filter_map(|problem| problem["title"].as_str());
            let mut titles: Vec<&str> = titles.collect();
            titles.dedup();
            self.description = titles.join("; ");
        }
    }
}

fn example(value: Value) -> utoipa::openapi::example::Example {
    ExampleBuilder::new().value(Some(value)).build()
}

fn header(kind: Type, description: &str, example: Value) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).example(Some(example)).build()
}

/// The schema of every [`Problem`], called `Problem`.
#[derive(Debug)]
pub struct ProblemDetails;

impl PartialSchema for ProblemDetails {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str| {
            ObjectBuilder::new().schema_type(Type::String).description(Some(description)).build()
        };
        let status = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("The answer's status, also of a problem inside of another answer"))
            .minimum(Some(400))
            .maximum(Some(599));
        ObjectBuilder::new()
            .description(Some("What went wrong (RFC 9457). Some types have further members."))
            .property("type", text("Which problem it is: stable, made for programs"))
            .property("title", text("The same for every occurrence of the type"))
            .property("status", status)
            .property(
                "detail",
                text("What is particular to this occurrence: what was wrong, where, what to do"),
            )
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .required("type")
            .required("title")
            .required("status")
            .build()
            .into()
    }
}

impl ToSchema for ProblemDetails {
    fn name() -> std::borrow::Cow<'static, str> {
        "Problem".into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn problems_of_a_status_are_examples_under_their_types() {
        let full = |kind: &'static str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Full");
        let answers = Answers::new().problems([
            full("/problems/a").retry_after(Duration::from_secs(3)),
            full("/problems/b").with("stored", "no"),
            full("/problems/a").detail("again"),
            Problem::new(StatusCode::BAD_REQUEST, "/problems/c", "Bad"),
        ]);
        let json = serde_json::to_value(answers.build()).unwrap();
        assert_eq!(json["400"]["description"], "Bad");
        let body = &json["503"]["content"]["application/problem+json"];
        assert_eq!(
            body["schema"]["allOf"][1]["properties"]["type"]["enum"],
            json!(["/problems/a", "/problems/b"])
        );
        assert_eq!(body["examples"]["b"]["value"]["stored"], "no");
        assert_eq!(body["examples"]["a-2"]["value"]["detail"], "again");
        assert_eq!(json["503"]["headers"]["Retry-After"]["example"], 3);
        assert_eq!(json["400"].get("headers"), None);
    }
}
