//! [`Engine`]: `MiniJinja`, bounded in what a template may compute and produce.

use std::io;

use minijinja::{Environment, Error, UndefinedBehavior, Value, value::Serde};

use super::context::Context;

/// Instructions that one rendering may take; a template of a page takes some hundreds.
const FUEL: u64 = 100_000;
/// The longest that one rendering may produce, in bytes.
pub(super) const OUTPUT_MAX: usize = 256 * 1024;

/// Templates by name. What ends in `.html` is escaped by itself, and a name that stands for nothing is an error.
#[derive(Debug)]
pub(super) struct Engine(Environment<'static>);

impl Engine {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Self(environment)
    }

    /// Adds a template. The problem comes with the line that it is in.
    pub(super) fn add(&mut self, name: &str, source: &str) -> Result<(), (Option<usize>, String)> {
        self.0
            .add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| (error.line(), problem(&error)))
    }

    /// Renders a template that was added.
    pub(super) fn render(&self, name: &str, context: &Context<'_>) -> Result<String, String> {
        self.try_render(name, context).map_err(|(line, problem)| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            format!("{name}{line}: {problem}")
        })
    }

    /// The same, with the line of a problem apart.
    pub(super) fn try_render(
        &self,
        name: &str,
        context: &Context<'_>,
    ) -> Result<String, (Option<usize>, String)> {
        let mut output = Bounded(Vec::new());
        let template = self.0.get_template(name).map_err(|error| (error.line(), problem(&error)))?;
        template
            .render_captured_to(Value::from(Serde(context)), &mut output)
            .map_err(|error| (error.line(), problem(&error)))?;
        String::from_utf8(output.0).map_err(|_| (None, "is not UTF-8".to_owned()))
    }
}

/// What went wrong, with its cause.
fn problem(error: &Error) -> String {
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{}{detail}{cause}", error.kind())
}

/// Output that ends where it would be too much.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.0.len() + part.len() > OUTPUT_MAX {
            return Err(io::Error::other(format!("more than {OUTPUT_MAX} bytes")));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
