//! Which groups the reaper looks after: those that the runtime has registered, and the configured ones.

use std::collections::{BTreeMap, BTreeSet};

use stream_core::{Error, EventStream};

/// Managed groups and their registered consumers. Foreign groups are only ever observed.
#[derive(Debug)]
pub(crate) struct ManagedGroups {
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl ManagedGroups {
    pub(crate) fn new(configured: &[String]) -> Self {
        Self { groups: configured.iter().map(|group| (group.clone(), BTreeSet::new())).collect() }
    }

    /// Reads the registry. A group once managed stays managed for as long as this process runs.
    pub(crate) async fn refresh(&mut self, stream: &EventStream) -> Result<(), Error> {
        let registered = stream.registered_consumers().await?;
        self.groups.values_mut().for_each(BTreeSet::clear);
        for entry in registered {
            self.groups.entry(entry.group).or_default().insert(entry.consumer);
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// Consumers of a group that hold or have held a name.
    pub(crate) fn registered(&self, group: &str) -> BTreeSet<String> {
        self.groups.get(group).cloned().unwrap_or_default()
    }
}
