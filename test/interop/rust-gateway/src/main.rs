//! A gateway as it was built before this server: it sends its whole buffer in one call, without credentials, deadline or
//! request_id, drops the channel and puts the leaves back on any error, and refuses answers above tonic's 4 MiB.
//!
//! It reads events from stdin (one a line, 64 hex digits each), writes a row for each anchored event to its database (JSON
//! lines), tells its calls on stdout (JSON lines), and ends once stdin is closed and every event is anchored.

mod buffer;
mod database;
mod flusher;
mod json;

mod notary {
    tonic::include_proto!("quartermaster.v1");
}

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use buffer::{Buffer, Event};
use database::Database;
use flusher::Flusher;

const USAGE: &str = "rust-gateway ENDPOINT CLUSTER_ID DATABASE_FILE FLUSH_SIZE FLUSH_INTERVAL_MS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, cluster_id, database, flush_size, flush_interval_ms] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let buffer = Arc::new(Buffer::new(flush_size.parse()?));
    let mut flusher = Flusher::new(
        endpoint.parse()?,
        cluster_id.clone(),
        Duration::from_millis(flush_interval_ms.parse()?),
        Arc::clone(&buffer),
        Database::open(database)?,
    );
    let reader = std::thread::spawn(move || read_events(&buffer));
    flusher.run().await?;
    reader.join().expect("the reader does not panic")?;
    Ok(())
}

/// Never waits for the notary: what comes while it is away is kept in the buffer.
fn read_events(buffer: &Buffer) -> io::Result<()> {
    let result = io::stdin().lines().enumerate().try_for_each(|(number, line)| {
        buffer.submit(Event { number, leaf: parse_leaf(&line?)? });
        Ok(())
    });
    buffer.close();
    result
}

fn parse_leaf(line: &str) -> io::Result<[u8; 32]> {
    let refused = || io::Error::new(io::ErrorKind::InvalidData, format!("not 64 hex digits: {line}"));
    let mut leaf = [0; 32];
    if line.len() != 64 || !line.is_ascii() {
        return Err(refused());
    }
    for (byte, digits) in leaf.iter_mut().zip(line.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
    }
    Ok(leaf)
}
