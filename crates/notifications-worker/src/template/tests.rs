//! What templates make of events, and what is refused at start.

use std::{collections::BTreeMap, fs, path::Path};

use order_events::EventView;
use stream_core::{Fields, StreamId};
use tempfile::TempDir;

use super::{Rendered, TemplateError, Templates, line::FIELDS};

fn rendered(templates: &Templates, fields: &[(&str, &str)]) -> Option<Result<Rendered, String>> {
    let fields: Fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let event = EventView::from_fields(1_716_998_413_541, fields.iter()).expect("an event");
    let rendered = templates.render(StreamId::new(1_716_998_413_541, 0), &event, &fields, true)?;
    Some(rendered.map_err(|error| error.to_string()))
}

fn event(event_type: &str) -> [(&str, &str); 4] {
    [("type", event_type), ("order_id", "o-1"), ("customer", "bob"), ("amount", "7.5")]
}

fn text(templates: &Templates, event_type: &str) -> Option<String> {
    rendered(templates, &event(event_type)).map(|rendered| rendered.expect("it is rendered").text)
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(event_type, text)| (event_type.to_string(), text.to_string())).collect()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("a file");
    }
    directory
}

fn read(directory: &Path) -> Result<Templates, TemplateError> {
    Templates::new(&BTreeMap::new(), directory.to_str().expect("a name"))
}

#[test]
fn built_in_templates_are_filled_in() {
    let templates = Templates::new(&BTreeMap::new(), "").unwrap();
    let rendered = rendered(&templates, &event("order.paid")).unwrap().unwrap();
    assert_eq!(rendered.text, "bob, we have received 7.50 for your order o-1.");
    assert_eq!(rendered.subject, "Order o-1 has been paid");
    let html = rendered.html.unwrap();
    assert!(html.contains("<p>bob, we have received 7.50 for your order o-1.</p>"), "{html}");
    assert_eq!(text(&templates, "order.refunded"), None);
}

#[test]
fn a_configured_text_replaces_or_adds() {
    let own = texts(&[("order.paid", "{type}!"), ("order.refunded", "{amount} back")]);
    let templates = Templates::new(&own, "").unwrap();
    assert_eq!(text(&templates, "order.paid").unwrap(), "order.paid!");
    assert_eq!(text(&templates, "order.refunded").unwrap(), "7.50 back");
    let refunded = rendered(&templates, &event("order.refunded")).unwrap().unwrap();
    assert_eq!(refunded.subject, "order.refunded: order o-1");
}

#[test]
fn a_wrong_text_says_what_is_allowed() {
    for (text, problem) in [("{total}", "names {total}"), ("{amount", "never closed")] {
        let error = Templates::new(&texts(&[("order.paid", text)]), "").unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("order.paid") && error.contains(FIELDS), "{error}");
    }
}

#[test]
fn files_replace_what_is_built_in_and_what_is_configured() {
    let files = directory(&[
        ("order.paid.txt", "{{ customer|upper }} paid {{ amount }} on {{ time }}\n\nThanks\n"),
        ("order.paid.subject.txt", "Paid: {{ order_id }}\n"),
        ("order.shipped.subject.txt", "Off it goes"),
        ("order.refunded.txt", "{{ fields.note|default('-') }}"),
        ("order.refunded.html", "<b>{{ fields.note|default('-') }}</b>"),
        ("..data", "left alone"),
    ]);
    let own = texts(&[("order.paid", "not this"), ("order.placed", "this")]);
    let templates = Templates::new(&own, files.path().to_str().unwrap()).unwrap();
    let paid = rendered(&templates, &event("order.paid")).unwrap().unwrap();
    assert_eq!(paid.text, "BOB paid 7.50 on 2024-05-29T16:00:13.541Z\n\nThanks");
    assert_eq!((paid.subject.as_str(), paid.html), ("Paid: o-1", None));
    let shipped = rendered(&templates, &event("order.shipped")).unwrap().unwrap();
    assert_eq!(shipped.subject, "Off it goes");
    assert!(shipped.text.contains("is on its way") && shipped.html.is_some());
    assert_eq!(text(&templates, "order.placed").unwrap(), "this");
    let note = [&event("order.refunded")[..], &[("note", "<script>\"&'")]].concat();
    let refunded = rendered(&templates, &note).unwrap().unwrap();
    assert_eq!(refunded.text, "<script>\"&'", "text is text");
    assert_eq!(refunded.html.unwrap(), "<b>&lt;script&gt;&quot;&amp;&#x27;</b>");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_line() {
    for (name, content, expected) in [
        ("order.paid.txt", "one\ntwo {{ customer", "order.paid.txt:2: "),
        ("order.paid.txt", "one\n\n{% if %}", "order.paid.txt:3: "),
        ("order.paid.html", "<p>\n{{ total }}</p>", "order.paid.html:2: undefined value"),
        ("order.paid.txt", "{{ fields.note }}", "order.paid.txt:1: undefined value"),
        ("order.paid.subject.txt", "{{ customer.name.first }}", "order.paid.subject.txt:1: "),
        ("order.paid.txt", "{{ customer|shout }}", "order.paid.txt:1: unknown filter"),
        (
            "order.paid.txt",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "ran out of fuel",
        ),
        (
            "order.paid.txt",
            "{% for a in range(9999) %}{{ 'x' * 99999 }}{% endfor %}",
            "order.paid.txt: failed to write output: I/O error during rendering: more than 262144 bytes",
        ),
        ("order.paid.md", "", "order.paid.md: is no template; allowed are TYPE.txt"),
        (".txt.html.bak", "", ""),
        ("order.refunded.html", "x", "goes with order.refunded.txt, which is not there"),
        ("a b\u{7}.txt", "x", "is for no type"),
    ] {
        let files = directory(&[(name, content)]);
        match read(files.path()) {
            Ok(_) => assert!(expected.is_empty(), "{name}: {content}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && error.contains(expected), "{name}: {error}");
            }
        }
    }
    let error = read(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(error.starts_with("notifications.templates_dir: /nowhere/at/all: cannot be read: "), "{error}");
}

#[test]
fn what_a_template_produces_is_bounded() {
    let files = directory(&[(
        "order.paid.txt",
        "{% for a in range(fields.n|default(1)|int) %}{{ fields.x|default('') }}{% endfor %}",
    )]);
    let templates = read(files.path()).unwrap();
    let big = "x".repeat(100_000);
    let fields = [&event("order.paid")[..], &[("n", "5"), ("x", &big)]].concat();
    let error = rendered(&templates, &fields).unwrap().unwrap_err();
    assert!(error.contains("order.paid.txt: ") && error.contains("more than 262144 bytes"), "{error}");
    let fields = [&event("order.paid")[..], &[("n", "2"), ("x", &big)]].concat();
    assert_eq!(rendered(&templates, &fields).unwrap().unwrap().text.len(), 200_000);
}

#[test]
fn a_subject_is_one_line() {
    let files =
        directory(&[("order.paid.subject.txt", "a\r\nBcc: {{ customer }}\n\n{{ fields.note|default('') }}")]);
    let templates = read(files.path()).unwrap();
    let fields = [&event("order.paid")[..], &[("note", "x\r\nX-Evil: y")]].concat();
    assert_eq!(rendered(&templates, &fields).unwrap().unwrap().subject, "a Bcc: bob x X-Evil: y");
}
