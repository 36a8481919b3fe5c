//! Starts the front: `front CLUSTER.toml ADDRESS`, or `front --list-own-answers`.
//!
//! It prints `listening on ADDRESS` once clients may connect, and serves until it is killed. Port 0
//! takes a free port.
#![expect(
    clippy::print_stdout,
    reason = "what a program prints is its interface"
)]

#[path = "mod.rs"]
mod front;

use front::{Front, Settings};

const USAGE: &str = "usage: front CLUSTER.toml ADDRESS\n       front --list-own-answers";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (file, listen) = match arguments.as_slice() {
        ["--list-own-answers"] => {
            print!("{}", front::own::list_own_answers());
            return Ok(());
        }
        [file, listen] => (*file, *listen),
        _ => return Err(USAGE.into()),
    };
    let settings = Settings {
        cluster: std::fs::read_to_string(file)?,
        path: file.into(),
        listen: listen.to_owned(),
    };
    let front = Front::start(settings).await?;
    println!("listening on {}", front.address());
    std::future::pending().await
}
