//! Bodies of scripts, by their sha1, so that a server which does not know one can be taught before it is asked.

use crate::connection::Script;
use crate::routing;
use parking_lot::Mutex;
use redis::Cmd;
use std::collections::HashMap;
use std::sync::Arc;

/// Scripts that were loaded through this cluster, most recently used kept.
#[derive(Debug)]
pub(super) struct ScriptBook {
    scripts: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    by_sha: HashMap<[u8; 20], (Arc<Script>, u64)>,
    clock: u64,
}

impl ScriptBook {
    pub(super) fn new() -> ScriptBook {
        ScriptBook {
            scripts: Mutex::default(),
        }
    }

    /// Keeps a body; beyond `scripts_max` the least recently used goes.
    pub(super) fn learn(&self, body: &[u8], scripts_max: u32) {
        let sha = sha1_smol::Sha1::from(body).digest().bytes();
        let load = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(body)
            .get_packed_command();
        let script = Script {
            sha,
            load,
            body_bytes: body.len(),
        };
        let mut pages = self.scripts.lock();
        pages.clock += 1;
        let clock = pages.clock;
        pages.by_sha.insert(sha, (Arc::new(script), clock));
        if pages.by_sha.len() > scripts_max as usize {
            let oldest = pages
                .by_sha
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(sha, _)| *sha);
            if let Some(oldest) = oldest {
                pages.by_sha.remove(&oldest);
            }
        }
    }

    /// The script that EVALSHA names, if it is known here.
    pub(super) fn find(&self, hex: &[u8]) -> Option<Arc<Script>> {
        let sha = parse(hex)?;
        let mut pages = self.scripts.lock();
        pages.clock += 1;
        let clock = pages.clock;
        let (script, used) = pages.by_sha.get_mut(&sha)?;
        *used = clock;
        Some(script.clone())
    }

    pub(super) fn forget_all(&self) {
        self.scripts.lock().by_sha.clear();
    }
}

/// Up to this length a script's body is sent within its transaction.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// EVALSHA as EVAL, for within MULTI: there a server that has lost the script would run the other commands without it. `None` for a
/// body that is too long to be sent each time; it is loaded in front of MULTI.
pub(super) fn with_body(cmd: &Cmd, script: &Script) -> Option<Cmd> {
    let body = script.body();
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let args = routing::arguments(cmd);
    let name: &[u8] = if args.first()?.eq_ignore_ascii_case(b"EVALSHA_RO") {
        b"EVAL_RO"
    } else {
        b"EVAL"
    };
    let mut eval = Cmd::new();
    eval.arg(name).arg(body);
    for arg in args.iter().skip(2) {
        eval.arg(*arg);
    }
    Some(eval)
}

/// 40 hex digits, in either case, as the server takes them.
fn parse(hex: &[u8]) -> Option<[u8; 20]> {
    let mut sha = [0; 20];
    if hex.len() != 40 {
        return None;
    }
    for (byte, pair) in sha.iter_mut().zip(hex.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_found_by_its_sha_in_either_case() {
        let book = ScriptBook::new();
        book.learn(b"return 1", 10);
        assert!(
            book.find(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
                .is_some()
        );
        assert!(
            book.find(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB")
                .is_some()
        );
        assert!(book.find(b"e0e1").is_none());
        assert!(book.find(&[0xff; 40]).is_none());
    }

    #[test]
    fn a_script_that_is_known_goes_into_a_transaction_with_its_body() {
        let book = ScriptBook::new();
        for (name, eval) in [("EVALSHA", "EVAL"), ("evalsha_ro", "EVAL_RO")] {
            book.learn(b"return ARGV[1]", 10);
            let sha = sha1_smol::Sha1::from("return ARGV[1]").digest().to_string();
            let script = book.find(sha.as_bytes()).unwrap();
            let mut call = redis::cmd(name);
            call.arg(&sha).arg(1).arg("k").arg("v");
            let mut expected = redis::cmd(eval);
            expected.arg("return ARGV[1]").arg(1).arg("k").arg("v");
            let made = with_body(&call, &script).unwrap();
            assert_eq!(made.get_packed_command(), expected.get_packed_command());
            let long = format!("return 1 {}", " ".repeat(BODY_BYTES_MAX));
            book.learn(long.as_bytes(), 10);
            let sha = sha1_smol::Sha1::from(&long).digest().to_string();
            let script = book.find(sha.as_bytes()).unwrap();
            assert_eq!(script.body(), long.as_bytes());
            assert!(with_body(redis::cmd(name).arg(&sha).arg(0), &script).is_none());
        }
    }

    #[test]
    fn the_least_recently_used_script_goes_first() {
        let book = ScriptBook::new();
        book.learn(b"return 1", 2);
        book.learn(b"return 2", 2);
        assert!(
            book.find(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
                .is_some()
        );
        book.learn(b"return 3", 2);
        assert!(
            book.find(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
                .is_some()
        );
        assert_eq!(book.scripts.lock().by_sha.len(), 2);
    }
}
