//! [`Logs`]: what the processes of a run have logged: whom they notified, and how loudly they complained.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;

/// What the logs tell.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// How often each ID was notified.
    pub(super) notified: HashMap<String, u64>,
    /// Warnings and errors.
    pub(super) complaints: u64,
    /// The most often that one process made one complaint within a second of the clock, and which it was.
    pub(super) loudest: (u64, String),
}

impl Logs {
    /// Reads every log of the directory.
    pub(super) fn read(dir: &Path) -> Self {
        let mut logs = Self::default();
        for file in fs::read_dir(dir).expect("the logs are there").filter_map(Result::ok) {
            // What a killed process logged last may be cut off in the middle of a character.
            let text = fs::read(file.path()).expect("a log can be read");
            let lines = text.split(|byte| *byte == b'\n');
            let lines = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
            logs.add(&file.file_name().to_string_lossy(), lines);
        }
        logs
    }

    fn add(&mut self, process: &str, lines: impl Iterator<Item = Value>) {
        let mut within_a_second: HashMap<String, u64> = HashMap::new();
        for line in lines {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            if text("message") == "notification" {
                *self.notified.entry(text("id").to_owned()).or_default() += 1;
            }
            if matches!(text("level"), "WARN" | "ERROR") {
                self.complaints += 1;
                let second = text("timestamp").split('.').next().unwrap_or_default();
                let complaint = format!("{process} at {second}: {}", text("message"));
                *within_a_second.entry(complaint).or_default() += 1;
            }
        }
        let loudest = within_a_second.into_iter().max_by_key(|(_, times)| *times);
        if let Some((complaint, times)) = loudest
            && times > self.loudest.0
        {
            self.loudest = (times, complaint);
        }
    }
}
