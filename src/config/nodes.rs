//! Lists of nodes as people write them: `"0-31,40"`.

use crate::placement::NodeId;

/// Why a list of nodes was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NodesError {
    /// Neither a number nor a range.
    Syntax,
    /// Two numbers of which the first is larger.
    Backwards(u64, u64),
    /// A number that is no node.
    OutOfRange(u64),
}

/// Reads `"0-31,40"`. Repetitions stay, for the caller to complain about.
pub(super) fn parse_ranges(text: &str, node_count: usize) -> Result<Vec<NodeId>, NodesError> {
    let mut nodes = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| {
            let text = text.trim();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| text.parse::<u64>().unwrap_or(u64::MAX))
                .ok_or(NodesError::Syntax)
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(NodesError::Backwards(first, last));
        }
        // Before anything is collected: a range of billions costs nothing.
        let node = |number: u64| match u16::try_from(number) {
            Ok(node) if usize::from(node) < node_count => Ok(node),
            _ => Err(NodesError::OutOfRange(number)),
        };
        let (first, last) = (node(first)?, node(last)?);
        nodes.extend((first..=last).map(NodeId));
    }
    Ok(nodes)
}

/// Nodes as a cluster file lists them, `0-3,7,9-11`; they must be ascending. Of none: an empty text, where a file has `nodes = []`.
pub fn show_ranges(nodes: &[NodeId]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for node in nodes {
        match ranges.last_mut() {
            Some((_, last)) if u32::from(node.0) <= u32::from(*last) + 1 => *last = node.0,
            _ => ranges.push((node.0, node.0)),
        }
    }
    let shown = |(first, last): &(u16, u16)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_shown() {
        for text in ["0", "0-31", "0-3,7,9-11", "63"] {
            assert_eq!(show_ranges(&parse_ranges(text, 64).unwrap()), text);
        }
        assert_eq!(
            parse_ranges(" 1 - 2 , 4", 64).unwrap(),
            [1, 2, 4].map(NodeId)
        );
        assert_eq!(parse_ranges("3,3", 64).unwrap(), [3, 3].map(NodeId));
        assert_eq!(
            show_ranges(&parse_ranges("0-16383", 16_384).unwrap()),
            "0-16383"
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", ",", "1,", "a", "1-", "-1", "1-2-3", "+1", "1.5", "0x1"] {
            assert_eq!(parse_ranges(text, 64), Err(NodesError::Syntax), "{text}");
        }
        assert_eq!(parse_ranges("3-1", 64), Err(NodesError::Backwards(3, 1)));
        assert_eq!(parse_ranges("0-64", 64), Err(NodesError::OutOfRange(64)));
        assert_eq!(
            parse_ranges("0-99999999999999999999999", 64),
            Err(NodesError::OutOfRange(u64::MAX))
        );
    }
}
