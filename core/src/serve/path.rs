// SPDX-License-Identifier: Apache-2.0
//! Path rules: which names a request may use. What is loaded from disk is never held to them.
//!
//! Source: `PathUtils.validatePath`, `PrepRequestProcessor.getParentPathAndValidate`.

/// The root's path.
pub const ROOT: &[u8] = b"/";

/// The znodes that are always there and can never be deleted.
const SPECIAL: [&[u8]; 4] = [ROOT, b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];

/// Whether `path` may name a znode: absolute, no empty name, no `.` or `..` as a name, and only
/// characters that Java takes (which rules out bytes that are not UTF-8, controls, private use,
/// specials, and all beyond the basic plane).
pub fn is_valid(path: &[u8]) -> bool {
    match path {
        ROOT => true,
        [b'/', names @ ..] => {
            names.split(|&b| b == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
                && (names.iter().all(|b| matches!(b, 0x20..=0x7e)) || legal_characters(names))
        }
        _ => false,
    }
}

fn legal_characters(names: &[u8]) -> bool {
    core::str::from_utf8(names).is_ok_and(|names| {
        names.chars().all(
            |c| matches!(c, '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{f900}'..='\u{ffef}'),
        )
    })
}

/// The path above `path`, which need not be valid; `None` if it cannot have one: it holds no slash
/// or a null character.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|&b| b == b'/')?;
    if path.contains(&0) {
        return None;
    }
    Some(if slash == 0 { ROOT } else { &path[..slash] })
}

/// Whether `path` is one of the znodes that are always there.
pub fn is_special(path: &[u8]) -> bool {
    SPECIAL.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_paths() {
        let long = ["/", &"x".repeat(5_000)].concat();
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a.b/..c/d../...",
            "/ ",
            "/~",
            "/\u{a0}",
            "/\u{d7ff}",
            "/\u{f900}",
            "/\u{ffef}",
            "/żółw/山",
            &long,
        ] {
            assert!(is_valid(path.as_bytes()), "{path:?}");
        }
    }

    #[test]
    fn illegal_paths() {
        for path in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "//a",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/.",
            "/a/..",
            "/\0",
            "/a\0b",
            "/\u{1}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{fffd}",
            "/\u{ffff}",
            "/\u{10000}",
            "/😀",
        ] {
            assert!(!is_valid(path.as_bytes()), "{path:?}");
        }
        for path in [&b"/\xff"[..], b"/a\xc3", b"/\xed\xa0\x80", b"/\xc0\xaf"] {
            assert!(!is_valid(path), "{path:?}");
        }
    }

    #[test]
    fn parents() {
        assert_eq!(parent(b"/a/b"), Some(&b"/a"[..]));
        assert_eq!(parent(b"/a"), Some(ROOT));
        assert_eq!(parent(b"/"), Some(ROOT));
        assert_eq!(parent(b"/a/"), Some(&b"/a"[..]));
        assert_eq!(parent(b"x/y"), Some(&b"x"[..]));
        assert_eq!(parent(b"//a"), Some(ROOT));
        assert_eq!(parent(b"a"), None);
        assert_eq!(parent(b""), None);
        assert_eq!(parent(b"/a\0"), None);
    }
}
