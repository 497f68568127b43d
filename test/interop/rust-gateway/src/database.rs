//! The gateway's own database: a row for each anchored event, with what an auditor asks the notary for.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};

use crate::buffer::Event;
use crate::json::quoted;

pub struct Database {
    rows: BufWriter<File>,
}

impl Database {
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Database { rows: BufWriter::new(file) })
    }

    /// The leaf_index of an event is its position in the batch; the answer's leaf_indices are not read.
    pub fn store(&mut self, batch: &[Event], anchor_id: &str) -> io::Result<()> {
        let anchor_id = quoted(anchor_id);
        for (leaf_index, Event { number, leaf }) in batch.iter().enumerate() {
            write!(self.rows, r#"{{"event":{number},"leaf":""#)?;
            for byte in leaf {
                write!(self.rows, "{byte:02x}")?;
            }
            writeln!(self.rows, r#"","anchor_id":{anchor_id},"leaf_index":{leaf_index}}}"#)?;
        }
        self.rows.flush()
    }
}
