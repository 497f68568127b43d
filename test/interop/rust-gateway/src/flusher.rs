//! Sends the buffer to the notary, whole, until nothing is left.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::transport::{Channel, Endpoint};

use crate::buffer::{Buffer, Event};
use crate::database::Database;
use crate::json::quoted;
use crate::notary::CreateAnchorRequest;
use crate::notary::quartermaster_notary_client::QuartermasterNotaryClient;

pub struct Flusher {
    endpoint: Endpoint,
    client: Option<QuartermasterNotaryClient<Channel>>,
    cluster_id: String,
    flush_interval: Duration,
    buffer: Arc<Buffer>,
    database: Database,
    calls: usize,
}

impl Flusher {
    pub fn new(
        endpoint: Endpoint,
        cluster_id: String,
        flush_interval: Duration,
        buffer: Arc<Buffer>,
        database: Database,
    ) -> Self {
        Flusher { endpoint, client: None, cluster_id, flush_interval, buffer, database, calls: 0 }
    }

    /// Flushes when the buffer is full and when the interval has passed; after a failure, only on the interval.
    pub async fn run(&mut self) -> io::Result<()> {
        let mut ticks = interval_at(Instant::now() + self.flush_interval, self.flush_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        while !self.buffer.is_finished() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.buffer.full(), if !failing => {}
            }
            let batch = self.buffer.take_all();
            if !batch.is_empty() {
                failing = !self.flush(batch).await?;
            }
        }
        Ok(())
    }

    /// Whether the batch was anchored; where it was not, it is in the buffer again.
    async fn flush(&mut self, batch: Vec<Event>) -> io::Result<bool> {
        self.calls += 1;
        let (call, leaves) = (self.calls, batch.len());
        println!(r#"{{"kind":"sending","call":{call},"leaves":{leaves}}}"#);
        let client = self.client.get_or_insert_with(|| QuartermasterNotaryClient::new(self.endpoint.connect_lazy()));
        let request = CreateAnchorRequest {
            cluster_id: self.cluster_id.clone(),
            leaves: batch.iter().map(|event| event.leaf.to_vec()).collect(),
            // Of its own store, which has seen so many events.
            etcd_revision: batch.last().map_or(0, |event| event.number as i64 + 1),
        };
        match client.create_anchor(request).await {
            Ok(response) => {
                let answer = response.into_inner();
                self.database.store(&batch, &answer.anchor_id)?;
                println!(
                    r#"{{"kind":"anchored","call":{call},"leaves":{leaves},"anchor_id":{},"leaf_count":{}}}"#,
                    quoted(&answer.anchor_id),
                    answer.leaf_count,
                );
                Ok(true)
            }
            Err(status) => {
                self.client = None;
                self.buffer.put_back(batch);
                println!(
                    r#"{{"kind":"failed","call":{call},"leaves":{leaves},"code":"{:?}","message":{}}}"#,
                    status.code(),
                    quoted(status.message()),
                );
                Ok(false)
            }
        }
    }
}
