//! A process that is told what to do in JSON lines, and answers each with one.

use crate::peers::{Answer, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Killed when dropped.
pub struct WorkerProcess {
    process: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl WorkerProcess {
    pub fn start(command: &mut Command) -> Answer<WorkerProcess> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().expect("it is piped");
        let replies = BufReader::new(process.stdout.take().expect("it is piped"));
        Ok(WorkerProcess {
            process,
            orders,
            replies,
        })
    }

    pub fn ask<R: DeserializeOwned>(&mut self, order: &impl Serialize) -> Answer<R> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line)?;
        let mut reply = String::new();
        if self.replies.read_line(&mut reply)? == 0 {
            return Err(Failure::Refused(format!(
                "its process ended: {}",
                self.process.wait()?
            )));
        }
        Ok(serde_json::from_str(&reply)?)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
