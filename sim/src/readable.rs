// SPDX-License-Identifier: Apache-2.0
//! Makes debug output fit for people: byte lists become text, long ones are cut.

/// The most characters of one byte list that people want to see.
const SHOWN: usize = 60;

/// `text` with its lists of bytes as quoted text.
pub fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let (before, inside) = rest.split_at(open);
        out.push_str(before);
        let close = inside.find(']').unwrap_or(inside.len());
        match bytes(&inside[1..close.max(1)]) {
            Some(bytes) if close < inside.len() => {
                out.push_str(&quoted(&bytes));
                rest = &inside[close + 1..];
            }
            _ => {
                out.push('[');
                rest = &inside[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn bytes(list: &str) -> Option<Vec<u8>> {
    list.split(", ").map(|number| number.parse().ok()).collect()
}

fn quoted(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(SHOWN)].escape_ascii();
    if bytes.len() > SHOWN {
        return format!("\"{shown}...\" ({} bytes)", bytes.len());
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_lists_become_text_and_all_else_stays() {
        let text = format!("{:?} {:?}", (b"/a".to_vec(), vec![Some(1)]), [b"x".to_vec()]);
        assert_eq!(readable(&text), "(\"/a\", [Some(1)]) [\"x\"]");
        assert_eq!(readable("[] [1, x] ["), "[] [1, x] [");
    }
}
