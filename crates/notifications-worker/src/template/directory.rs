//! Templates of a directory: read, and tried out on a made-up event, at start.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use order_events::EventView;
use stream_core::{Fields, StreamId};

use super::{
    SUBJECT, Set, Source, TemplateError, Templates, context::Context, engine::OUTPUT_MAX, line::Line,
};

/// How the files of one type are called: the type, and one of these.
const SUBJECT_SUFFIX: &str = ".subject.txt";
const TEXT_SUFFIX: &str = ".txt";
const HTML_SUFFIX: &str = ".html";
/// The most files of a directory.
const FILES_MAX: usize = 1_000;

/// The files of one type.
#[derive(Debug, Default)]
struct Files {
    subject: Option<PathBuf>,
    text: Option<PathBuf>,
    html: Option<PathBuf>,
}

impl Templates {
    /// Takes the files of a directory in: each in the place of what was there for its type.
    pub(super) fn read(&mut self, directory: &str) -> Result<(), TemplateError> {
        for (event_type, files) in list(Path::new(directory))? {
            let known = self.sets.remove(&event_type);
            let text = match &files.text {
                Some(file) => Some(self.load(file)?),
                None => None,
            };
            let own_text = text.is_some();
            let Some(text) = text.or_else(|| known.as_ref().map(|known| known.text.clone())) else {
                let file = files.subject.or(files.html).unwrap_or_default();
                let problem = format!("goes with {event_type}{TEXT_SUFFIX}, which is not there");
                return Err(file_error(&file, None, problem));
            };
            let subject = match (&files.subject, &known) {
                (Some(file), _) => self.load(file)?,
                (None, Some(known)) => known.subject.clone(),
                (None, None) => Source::Line(
                    Line::parse(SUBJECT)
                        .map_err(|problem| TemplateError::Line { event_type: event_type.clone(), problem })?,
                ),
            };
            let html = match &files.html {
                Some(file) => Some(self.load(file)?),
                // The built-in HTML would show a text of many lines as one.
                None if own_text => None,
                None => known.and_then(|known| known.html),
            };
            let set = Set { subject, text, html };
            self.try_out(&event_type, &set)?;
            self.sets.insert(event_type, set);
        }
        Ok(())
    }

    fn load(&mut self, file: &Path) -> Result<Source, TemplateError> {
        let size = fs::metadata(file).map_err(|error| file_error(file, None, error.to_string()))?.len();
        if size > OUTPUT_MAX as u64 {
            return Err(file_error(file, None, format!("has {size} bytes; allowed: at most {OUTPUT_MAX}")));
        }
        let source = fs::read_to_string(file).map_err(|error| file_error(file, None, error.to_string()))?;
        let name = file.to_string_lossy().into_owned();
        self.engine.add(&name, &source).map_err(|(line, problem)| file_error(file, line, problem))?;
        Ok(Source::Template(name))
    }

    /// Renders a set for an event with nothing but what every event has.
    fn try_out(&self, event_type: &str, set: &Set) -> Result<(), TemplateError> {
        let fields: Fields = [
            ("type", event_type.to_owned()),
            ("order_id", "o-1000".to_owned()),
            ("customer", "alice".to_owned()),
            ("amount", "49.50".to_owned()),
        ]
        .into_iter()
        .collect();
        let event = EventView::from_fields(0, fields.iter()).map_err(|error| TemplateError::Line {
            event_type: event_type.to_owned(),
            problem: format!("is for no type: {error}"),
        })?;
        let context = Context::new(StreamId::new(1_716_998_413_541, 0), &event, &fields, "A text.");
        for source in [Some(&set.subject), Some(&set.text), set.html.as_ref()].into_iter().flatten() {
            if let Source::Template(name) = source {
                let tried = self.engine.try_render(name, &context);
                tried.map_err(|(line, problem)| file_error(Path::new(name), line, problem))?;
            }
        }
        Ok(())
    }
}

/// The files of each type. Names that begin with a point are left alone: a mounted `ConfigMap` has some.
fn list(directory: &Path) -> Result<BTreeMap<String, Files>, TemplateError> {
    let unreadable = |error: std::io::Error| file_error(directory, None, format!("cannot be read: {error}"));
    let mut types: BTreeMap<String, Files> = BTreeMap::new();
    for (index, found) in fs::read_dir(directory).map_err(unreadable)?.enumerate() {
        let path = found.map_err(unreadable)?.path();
        if index >= FILES_MAX {
            return Err(file_error(directory, None, format!("has more than {FILES_MAX} files")));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        // The longer suffix first: a subject's file also ends as a text's does.
        let part = |suffix: &str| name.strip_suffix(suffix).filter(|event_type| !event_type.is_empty());
        if let Some(event_type) = part(SUBJECT_SUFFIX) {
            types.entry(event_type.to_owned()).or_default().subject = Some(path);
        } else if let Some(event_type) = part(TEXT_SUFFIX) {
            types.entry(event_type.to_owned()).or_default().text = Some(path);
        } else if let Some(event_type) = part(HTML_SUFFIX) {
            types.entry(event_type.to_owned()).or_default().html = Some(path);
        } else {
            let problem = format!(
                "is no template; allowed are TYPE{TEXT_SUFFIX}, TYPE{SUBJECT_SUFFIX} and TYPE{HTML_SUFFIX}"
            );
            return Err(file_error(&path, None, problem));
        }
    }
    Ok(types)
}

fn file_error(file: &Path, line: Option<usize>, problem: String) -> TemplateError {
    TemplateError::File { file: file.display().to_string(), line, problem }
}
