// SPDX-License-Identifier: Apache-2.0
//! The bytes of a simulated file, in shared pages: preallocated megabytes of zeroes cost nothing,
//! and a cloned world copies only what it changes.

use std::sync::Arc;

/// Bytes in a page.
pub const PAGE: u64 = 4_096;
/// Bytes that a disk writes whole, or tears.
pub const SECTOR: u64 = 512;

/// A file's bytes. A page that was never written, or only with zeroes, is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pages: Vec<Option<Arc<Vec<u8>>>>,
    len: u64,
}

impl Content {
    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes bytes, extending the file (with zeroes, over a gap) as needed.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        self.extend(offset + data.len() as u64);
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let n = rest.len().min(PAGE as usize - within);
            let (now, later) = rest.split_at(n);
            self.page(at / PAGE)[within..within + n].copy_from_slice(now);
            (at, rest) = (at + n as u64, later);
        }
    }

    /// Writes zeroes, extending the file as needed.
    pub fn zero(&mut self, offset: u64, len: u64) {
        self.extend(offset + len);
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let within = at % PAGE;
            let n = (PAGE - within).min(end - at);
            let slot = &mut self.pages[(at / PAGE) as usize];
            if n == PAGE {
                *slot = None;
            } else if let Some(page) = slot {
                Arc::make_mut(page)[within as usize..(within + n) as usize].fill(0);
            }
            at += n;
        }
    }

    /// Sets the length; what is new is zero.
    pub fn truncate(&mut self, len: u64) {
        if len < self.len {
            self.zero(len, self.len - len);
            self.pages.truncate(len.div_ceil(PAGE) as usize);
            self.len = len;
        } else {
            self.extend(len);
        }
    }

    /// Up to `len` bytes from `offset`; fewer at the end of the file.
    pub fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(len));
        let mut out = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let within = (at % PAGE) as usize;
            let n = (PAGE as usize - within).min((end - at) as usize);
            match &self.pages[(at / PAGE) as usize] {
                Some(page) => out.extend_from_slice(&page[within..within + n]),
                None => out.resize(out.len() + n, 0),
            }
            at += n as u64;
        }
        out
    }

    /// Flips one bit of a byte that is in the file.
    pub fn flip(&mut self, offset: u64, bit: u8) {
        assert!(offset < self.len, "only what is there can rot");
        self.page(offset / PAGE)[(offset % PAGE) as usize] ^= 1 << (bit % 8);
    }

    fn extend(&mut self, len: u64) {
        if len > self.len {
            self.len = len;
            self.pages.resize(len.div_ceil(PAGE) as usize, None);
        }
    }

    fn page(&mut self, n: u64) -> &mut Vec<u8> {
        let slot = &mut self.pages[n as usize];
        Arc::make_mut(slot.get_or_insert_with(|| Arc::new(vec![0; PAGE as usize])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Subsystem};

    #[test]
    fn behaves_as_a_vector_of_bytes() {
        let mut rng = Rng::stream(1, Subsystem::Disk, 0);
        let (mut content, mut naive) = (Content::default(), Vec::<u8>::new());
        for step in 0..2_000u64 {
            let (at, len) = (rng.below(20_000), rng.below(6_000));
            let end = (at + len) as usize;
            match rng.below(4) {
                0 => {
                    content.truncate(at);
                    naive.resize(at as usize, 0);
                }
                1 => {
                    content.zero(at, len);
                    naive.resize(naive.len().max(end), 0);
                    naive[at as usize..end].fill(0);
                }
                _ => {
                    let data = vec![step as u8 | 1; len as usize];
                    content.write(at, &data);
                    naive.resize(naive.len().max(end), 0);
                    naive[at as usize..end].copy_from_slice(&data);
                }
            }
            assert_eq!(content.len(), naive.len() as u64);
            let (from, n) = (rng.below(20_000) as usize, rng.below(9_000) as usize);
            let expected = &naive[from.min(naive.len())..(from + n).min(naive.len())];
            assert_eq!(content.read(from as u64, n as u64), expected);
        }
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut content = Content::default();
        content.write(0, b"before");
        let copy = content.clone();
        content.write(0, b"after ");
        content.flip(0, 0);
        assert_eq!(copy.read(0, 6), b"before");
        assert_eq!(content.read(0, 6), b"`fter ");
    }

    #[test]
    fn zeroes_take_no_memory() {
        let mut content = Content::default();
        content.zero(0, 1 << 30);
        assert!(content.pages.iter().all(Option::is_none));
        assert_eq!(content.read((1 << 30) - 2, 10), [0, 0]);
    }
}
