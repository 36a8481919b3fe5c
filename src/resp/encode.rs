//! A command as the bytes that a server reads.

use redis::{Arg, Cmd};

/// Appends what [`Cmd::write_packed_command`] appends, in half the instructions: one pass over the arguments, and lengths of one or two
/// digits, as nearly all are, written without a detour.
pub(crate) fn encode(cmd: &Cmd, out: &mut Vec<u8>) {
    let start = out.len();
    let args = cmd.args_iter();
    encode_array(args.len(), out);
    for arg in args {
        let Arg::Simple(bytes) = arg else {
            // A cursor's value is known to redis-rs alone.
            out.truncate(start);
            return cmd.write_packed_command(out);
        };
        encode_bulk(bytes, out);
    }
}

/// Appends the beginning of a command of `length` arguments, its name included.
pub(crate) fn encode_array(length: usize, out: &mut Vec<u8>) {
    header(b'*', length, out);
}

/// Appends one argument.
#[inline]
pub(crate) fn encode_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn header(kind: u8, length: usize, out: &mut Vec<u8>) {
    let digit = |n: usize| b'0' + (n % 10) as u8;
    match length {
        0..10 => out.extend_from_slice(&[kind, digit(length), b'\r', b'\n']),
        10..100 => {
            out.extend_from_slice(&[kind, digit(length / 10), digit(length), b'\r', b'\n']);
        }
        _ => long_header(kind, length, out),
    }
}

fn long_header(kind: u8, mut length: usize, out: &mut Vec<u8>) {
    // 20 digits are the most that 64 bits have.
    let mut text = [0; 23];
    text[21] = b'\r';
    text[22] = b'\n';
    let mut at = 21;
    while length > 0 {
        at -= 1;
        text[at] = b'0' + (length % 10) as u8;
        length /= 10;
    }
    text[at - 1] = kind;
    out.extend_from_slice(&text[at - 1..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(cmd: &Cmd) -> Vec<u8> {
        let mut out = b"before".to_vec();
        encode(cmd, &mut out);
        assert_eq!(&out[..6], b"before");
        out.split_off(6)
    }

    proptest! {
        #[test]
        fn a_command_is_encoded_as_redis_rs_does(
            args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..130), 0..130),
            cursor in proptest::option::of(any::<u64>()),
        ) {
            let mut cmd = Cmd::new();
            for (at, arg) in args.iter().enumerate() {
                cmd.arg(arg);
                if let (1, Some(cursor)) = (at, cursor) {
                    cmd.cursor_arg(cursor);
                }
            }
            let mut expected = Vec::new();
            cmd.write_packed_command(&mut expected);
            prop_assert_eq!(packed(&cmd), expected);
        }
    }

    #[test]
    fn lengths_of_any_number_of_digits_are_written_out() {
        for bytes in [0, 9, 10, 99, 100, 101, 999, 1_000, 65_536, 1_234_567] {
            let mut cmd = redis::cmd("SET");
            cmd.arg("key").arg(vec![b'x'; bytes]);
            assert_eq!(packed(&cmd), cmd.get_packed_command(), "{bytes} bytes");
        }
        let mut out = Vec::new();
        header(b'$', usize::MAX, &mut out);
        assert_eq!(out, b"$18446744073709551615\r\n");
    }
}
