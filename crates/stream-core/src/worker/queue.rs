//! [`ReadyQueue`]: deliveries that wait to be started, in the order in which they may be.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::Delivery;
use crate::StreamId;

/// Deliveries not started yet.
///
/// First attempts with the same ordering key run one after the other, in ID order.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    ordering_field: Option<String>,
    ready: VecDeque<Delivery>,
    /// How many of those at the front are retries, claimed to be started at once.
    retries: usize,
    /// For each key with a first attempt ready or running: those behind it.
    lanes: HashMap<Bytes, VecDeque<Delivery>>,
}

impl ReadyQueue {
    pub(super) fn new(ordering_field: Option<String>) -> Self {
        Self { ordering_field, ..Self::default() }
    }

    /// Adds a delivery. First attempts come in ID order.
    pub(super) fn push(&mut self, delivery: Delivery) {
        let Some(key) = self.lane_key(&delivery) else {
            self.ready.push_back(delivery);
            return;
        };
        if let Some(behind) = self.lanes.get_mut(&key) {
            behind.push_back(delivery);
        } else {
            self.lanes.insert(key, VecDeque::new());
            self.ready.push_back(delivery);
        }
    }

    /// Adds a retry, to be started before everything else: its delivery has been counted, and should be an attempt.
    pub(super) fn push_retry(&mut self, delivery: Delivery) {
        self.ready.push_front(delivery);
        self.retries += 1;
    }

    /// Retries that wait to be started, before everything else: then no more of them should be claimed.
    pub(super) const fn retries(&self) -> usize {
        self.retries
    }

    /// Whether a delivery may start now.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes up to `max` deliveries to start now.
    pub(super) fn take(&mut self, max: usize) -> Vec<Delivery> {
        let count = max.min(self.ready.len());
        self.retries = self.retries.saturating_sub(count);
        self.ready.drain(..count).collect()
    }

    /// Lets go what waited behind a delivery that was started and has now finished.
    pub(super) fn finished(&mut self, delivery: &Delivery) {
        if let Some(key) = self.lane_key(delivery) {
            match self.lanes.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(next) => self.ready.push_back(next),
                None => drop(self.lanes.remove(&key)),
            }
        }
    }

    /// Takes out everything that was not started.
    pub(super) fn take_all(&mut self) -> Vec<Delivery> {
        self.retries = 0;
        let waiting = std::mem::take(&mut self.lanes).into_values().flatten();
        self.ready.drain(..).chain(waiting).collect()
    }

    /// The same while others of this consumer run, and it reads on: those that come after a running one still wait
    /// for it.
    pub(super) fn take_unstarted(&mut self) -> Vec<Delivery> {
        self.retries = 0;
        let mut taken: Vec<Delivery> = self.ready.drain(..).collect();
        for at in 0..taken.len() {
            let behind = self.lane_key(&taken[at]).and_then(|key| self.lanes.remove(&key));
            taken.extend(behind.into_iter().flatten());
        }
        taken.extend(self.lanes.values_mut().flat_map(std::mem::take));
        taken
    }

    /// Takes these out: what waited behind one of them need not wait for it any more.
    pub(super) fn remove(&mut self, rows: &HashSet<StreamId>) -> Vec<Delivery> {
        if rows.is_empty() {
            return Vec::new();
        }
        let is_one = |delivery: &Delivery| rows.contains(&delivery.row);
        let mut removed = Vec::new();
        for behind in self.lanes.values_mut() {
            let (taken, kept): (VecDeque<_>, _) = std::mem::take(behind).into_iter().partition(is_one);
            *behind = kept;
            removed.extend(taken);
        }
        self.retries -= self.ready.iter().take(self.retries).filter(|delivery| is_one(delivery)).count();
        let (first, kept): (VecDeque<_>, _) = std::mem::take(&mut self.ready).into_iter().partition(is_one);
        self.ready = kept;
        for delivery in &first {
            self.finished(delivery);
        }
        removed.extend(first);
        removed
    }

    fn lane_key(&self, delivery: &Delivery) -> Option<Bytes> {
        if delivery.deliveries > 1 {
            return None;
        }
        delivery.ordering_key(self.ordering_field.as_deref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fields;

    fn delivery(ms: u64, order: &'static str, deliveries: u64) -> Delivery {
        let fields: Fields = [("order_id", order)].into_iter().collect();
        let id = StreamId::new(ms, 0);
        Delivery { id, fields, deliveries, group: "g".into(), consumer: "c".into(), row: id, failures: 0 }
    }

    fn ids(deliveries: &[Delivery]) -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.id.ms).collect()
    }

    #[test]
    fn first_attempts_of_one_order_run_one_after_the_other() {
        let mut queue = ReadyQueue::new(Some("order_id".to_owned()));
        for (ms, order) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            queue.push(delivery(ms, order, 1));
        }
        let started = queue.take(9);
        assert_eq!(ids(&started), [1, 3]);
        queue.finished(&started[1]);
        assert!(queue.take(9).is_empty());
        queue.finished(&started[0]);
        let second = queue.take(9);
        assert_eq!(ids(&second), [2]);
        queue.finished(&second[0]);
        assert_eq!(ids(&queue.take(9)), [4]);
    }

    #[test]
    fn retries_wait_for_nobody() {
        let mut queue = ReadyQueue::new(Some("order_id".to_owned()));
        queue.push(delivery(1, "a", 1));
        queue.push(delivery(2, "a", 2));
        assert_eq!(ids(&queue.take(9)), [1, 2]);
    }

    #[test]
    fn claimed_retries_start_first() {
        let mut queue = ReadyQueue::new(None);
        queue.push(delivery(1, "a", 1));
        queue.push_retry(delivery(2, "b", 4));
        assert_eq!(queue.retries(), 1);
        assert_eq!(ids(&queue.take(1)), [2]);
        assert_eq!(queue.retries(), 0);
        assert_eq!(ids(&queue.take(1)), [1]);
    }

    #[test]
    fn what_waited_behind_one_that_is_taken_out_starts() {
        let mut queue = ReadyQueue::new(Some("order_id".to_owned()));
        for (ms, order) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b")] {
            queue.push(delivery(ms, order, 1));
        }
        queue.push_retry(delivery(6, "c", 3));
        queue.push_retry(delivery(7, "c", 3));
        let rows = [1, 2, 5, 6, 9].map(|ms| StreamId::new(ms, 0)).into();
        let mut removed = ids(&queue.remove(&rows));
        removed.sort_unstable();
        assert_eq!((removed, queue.retries()), (vec![1, 2, 5, 6], 1));
        let started = queue.take(9);
        assert_eq!(ids(&started), [7, 4, 3]);
        for delivery in &started {
            queue.finished(delivery);
        }
        assert!(!queue.is_ready());
        queue.push(delivery(8, "a", 1));
        assert_eq!(ids(&queue.take(9)), [8]);
    }

    #[test]
    fn what_comes_after_a_running_one_waits_for_it_though_the_rest_was_taken() {
        let mut queue = ReadyQueue::new(Some("order_id".to_owned()));
        for (ms, order) in [(1, "a"), (2, "a"), (3, "b"), (4, "b")] {
            queue.push(delivery(ms, order, 1));
        }
        let started = queue.take(1);
        let mut taken = ids(&queue.take_unstarted());
        taken.sort_unstable();
        assert_eq!((ids(&started), taken), (vec![1], vec![2, 3, 4]));
        for (ms, order) in [(5, "a"), (6, "b")] {
            queue.push(delivery(ms, order, 1));
        }
        assert_eq!(ids(&queue.take(9)), [6]);
        queue.finished(&started[0]);
        assert_eq!(ids(&queue.take(9)), [5]);
    }

    #[test]
    fn nothing_is_forgotten_when_it_is_emptied() {
        let mut queue = ReadyQueue::new(Some("order_id".to_owned()));
        for (ms, order, deliveries) in [(1, "a", 1), (2, "a", 1), (3, "b", 5)] {
            queue.push(delivery(ms, order, deliveries));
        }
        let mut all = ids(&queue.take_all());
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    }
}
