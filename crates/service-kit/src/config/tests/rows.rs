//! Lists of tables.

use std::time::Duration;

use super::super::{Resolved, Settings};
use super::{args, env, load, refused};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn endpoint(more: &str) -> String {
    format!("{{name = \"a\", url = \"https://host/t0ken\", secrets = [\"{SECRET}\"]{more}}}")
}

fn endpoints(settings: &Settings) -> Vec<(&str, &str, Duration, bool)> {
    let endpoints = settings.webhook.endpoints.iter();
    endpoints.map(|row| (row.name.as_str(), row.url.expose(), row.timeout, row.allow_private)).collect()
}

#[test]
fn they_are_tables_in_a_file_and_toml_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orderflow.toml");
    let text = format!(
        "[[webhook.endpoints]]\nname = \"a\"\nurl = \"https://host/t0ken\"\nsecrets = [\"{SECRET}\"]\ntimeout = \"2s\"\n\
         [[webhook.endpoints]]\nname = \"b\"\nurl = \"http://other/\"\nsecrets_file = \"/x\"\nallow_private = true\n"
    );
    std::fs::write(&path, text).unwrap();
    let file = super::ConfigArgs { config: Some(path), ..args(&[]) };
    let settings = load(&file, &[]).unwrap();
    let (own, default) = (Duration::from_secs(2), Duration::from_secs(5));
    assert_eq!(
        endpoints(&settings),
        [("a", "https://host/t0ken", own, false), ("b", "http://other/", default, true)]
    );
    // The list as a whole is one value: a later layer replaces it.
    let list = format!("[{}]", endpoint(", timeout = \"2s\""));
    let settings = load(&file, &[("ORDERFLOW__WEBHOOK__ENDPOINTS", &list)]).unwrap();
    assert_eq!(endpoints(&settings), [("a", "https://host/t0ken", own, false)]);
    assert!(load(&file, &[("ORDERFLOW__WEBHOOK__ENDPOINTS", "")]).unwrap().webhook.endpoints.is_empty());
}

#[test]
fn they_can_come_from_a_file_of_their_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[\n  {},\n]\n", endpoint(""))).unwrap();
    let path = file.path().to_str().unwrap();
    let settings = load(&args(&[]), &[("ORDERFLOW__WEBHOOK__ENDPOINTS__FILE", path)]).unwrap();
    assert_eq!(settings.webhook.endpoints.len(), 1);
}

#[test]
fn what_is_secret_in_a_row_is_masked() {
    let list = format!("webhook.endpoints=[{}]", endpoint(""));
    let resolved = Resolved::load(&args(&[&list]), env(&[])).unwrap();
    let printed = resolved.to_toml();
    let expected = "endpoints = [{ name = \"a\", url = \"https://host/***\", secrets = [\"***\"], secrets_file = \"\", \
                    types = [], timeout = \"5s\", allow_private = false }] # --set webhook.endpoints";
    assert!(printed.lines().any(|line| line == expected), "{printed}");
    let debugged = format!("{:?}", resolved.settings());
    for secret in [&SECRET[6..], "t0ken"] {
        assert!(!printed.contains(secret) && !debugged.contains(secret));
    }
}

#[test]
fn every_mistake_in_every_row_is_told() {
    let lines = refused(
        &args(&[&format!(
            "webhook.endpoints=[{{timeout = 5, colour = 1}}, {}, {{name = 1, url = \"\", secrets = \"{SECRET}\"}}]",
            endpoint("")
        )]),
        &[],
    );
    for expected in [
        "webhook.endpoints[0].name (--set webhook.endpoints): is missing; allowed: text",
        "webhook.endpoints[0].url (--set webhook.endpoints): is missing; allowed: a URL such as https://host/path",
        "webhook.endpoints[0].timeout (--set webhook.endpoints): 5 is not allowed; allowed: a number and a unit",
        "webhook.endpoints[0].colour (--set webhook.endpoints): unknown key",
        "webhook.endpoints[2].name (--set webhook.endpoints): 1 is not allowed; allowed: text",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}\n{lines:#?}");
    }
    assert!(!lines.concat().contains(SECRET), "{lines:?}");
}

#[test]
fn what_is_no_list_of_tables_is_refused_without_being_shown() {
    for list in ["s3cret", "[1]", "[\"s3cret\"]", "{name = \"s3cret\"}", "[{name = \"s3cret\"}"] {
        let lines = refused(&args(&[&format!("webhook.endpoints={list}")]), &[]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("is not a list of tables") && !lines[0].contains("s3cret"), "{lines:?}");
    }
}

#[test]
fn endpoints_are_checked() {
    for (row, problem) in [
        ("{name = \"a b\", url = \"https://h/\", secrets_file = \"/x\"}", "holds \"a b\""),
        ("{name = \"a/b\", url = \"https://h/\", secrets_file = \"/x\"}", "is no name for an endpoint"),
        ("{name = \"a\", url = \"ftp://h/\", secrets_file = \"/x\"}", "has a URL that is not HTTP's"),
        (
            "{name = \"a\", url = \"https://u:s3cret@h/\", secrets_file = \"/x\"}",
            "has a URL with user or password",
        ),
        ("{name = \"a\", url = \"https://h/#s3cret\", secrets_file = \"/x\"}", "has a URL with a fragment"),
        ("{name = \"a\", url = \"h\", secrets_file = \"/x\"}", "has a URL that is none"),
        ("{name = \"a\", url = \"https://h/\"}", "has no secret"),
        (
            "{name = \"a\", url = \"https://h/\", secrets = [\"whsec_s3cret\"]}",
            "has a secret that cannot be used",
        ),
    ] {
        let lines = refused(&args(&[&format!("webhook.endpoints=[{row}]")]), &[]);
        assert!(lines.iter().any(|line| line.contains(problem)), "{row}: {lines:?}");
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
    let twice = format!("webhook.endpoints=[{}, {}]", endpoint(""), endpoint(""));
    assert!(refused(&args(&[&twice]), &[])[0].contains("holds \"a\" twice"));
}
