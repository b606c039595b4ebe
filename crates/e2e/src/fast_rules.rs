//! The rules of `deploy/prometheus`, sped up: the same expressions fire, after seconds.

use std::{fmt::Write, fs, path::Path};

/// Ages that an alert waits for, and how old is old here. Each stands in the rules once.
const AGES: [(&str, &str); 3] = [
    ("(stream_group_lag_seconds) > 60", "(stream_group_lag_seconds) > 3"),
    ("(stream_group_oldest_pending_age_seconds) > 300", "(stream_group_oldest_pending_age_seconds) > 5"),
    ("(stream_group_consumer_idle_seconds) > 60", "(stream_group_consumer_idle_seconds) > 5"),
];

/// The files of rules, each with its name, with a second for a minute, but at least five, twenty seconds for an hour, and
/// entries and consumers old after a few seconds. Nothing else is changed.
pub fn fast_rules() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/rules");
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let rules: Vec<_> = files
        .map(|file| {
            let path = file.expect("the directory can be read").path();
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, faster(&text))
        })
        .collect();
    for (_, fast) in AGES {
        let times = rules.iter().map(|(_, text)| text.matches(fast).count()).sum::<usize>();
        assert_eq!(times, 1, "the rules have changed: {fast} comes of nothing, or of more than one");
    }
    rules
}

fn faster(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let comment =
            line.trim_start().starts_with('#') || line.contains("summary:") || line.contains("record:");
        text.push_str(&if comment { line.to_owned() } else { faster_durations(line) });
        text.push('\n');
    }
    AGES.iter().fold(text, |text, (slow, fast)| text.replace(slow, fast))
}

/// Durations are in brackets or after `for: `.
fn faster_durations(line: &str) -> String {
    let quick = |duration: &str| match duration {
        "0m" => "0s",
        "1m" | "2m" | "5m" => "5s",
        "10m" | "15m" | "30m" => "10s",
        "1h" => "20s",
        "6h" => "40s",
        other => panic!("{other} has no faster counterpart in {line}"),
    };
    if let Some((before, duration)) = line.split_once("for: ")
        && before.trim().is_empty()
    {
        return format!("{before}for: {}", quick(duration));
    }
    let mut parts = line.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (duration, rest) = part.split_once(']').expect("a bracket is closed");
        write!(text, "[{}]{rest}", quick(duration)).expect("text can be written to");
    }
    text
}
