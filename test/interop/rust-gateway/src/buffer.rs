//! Events that are not anchored yet, in the order in which they came.

use std::mem;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

pub struct Event {
    /// Its place among all events of this gateway: stands for the key of the event's row.
    pub number: usize,
    pub leaf: [u8; 32],
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    closed: bool,
}

pub struct Buffer {
    flush_size: usize,
    state: Mutex<State>,
    changed: Notify,
}

impl Buffer {
    pub fn new(flush_size: usize) -> Self {
        Buffer { flush_size, state: Mutex::default(), changed: Notify::new() }
    }

    pub fn submit(&self, event: Event) {
        let mut state = self.state();
        state.events.push(event);
        if state.events.len() >= self.flush_size {
            self.changed.notify_one();
        }
    }

    /// Nothing more will be submitted.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Waits until there are as many events as make a flush, or until there will be no more.
    pub async fn full(&self) {
        while !self.is_full() {
            self.changed.notified().await;
        }
    }

    /// However many there are.
    pub fn take_all(&self) -> Vec<Event> {
        mem::take(&mut self.state().events)
    }

    /// In front of what came meanwhile.
    pub fn put_back(&self, mut events: Vec<Event>) {
        let mut state = self.state();
        events.append(&mut state.events);
        state.events = events;
    }

    pub fn is_finished(&self) -> bool {
        let state = self.state();
        state.closed && state.events.is_empty()
    }

    fn is_full(&self) -> bool {
        let state = self.state();
        state.closed || state.events.len() >= self.flush_size
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}
