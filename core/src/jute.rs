// SPDX-License-Identifier: Apache-2.0
//! Jute, ZooKeeper's record encoding: big-endian numbers, length-prefixed bytes, `-1` for null.
//!
//! Strings are bytes here: Java's encoder can emit what is not UTF-8, and what was stored must come
//! back as it is. Which names a request may use is decided where requests are judged.

use alloc::vec::Vec;
use core::fmt;

/// Bytes that are not the record they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed record")
    }
}

impl core::error::Error for Malformed {}

/// Reads primitives off the front of a byte slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes as they are.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// A bool: any byte but zero is true, as Java reads it.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    /// An int.
    pub fn int(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A long.
    pub fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A buffer; `None` is null, which differs from empty.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            n => Ok(Some(self.take(usize::try_from(n).map_err(|_| Malformed)?)?)),
        }
    }

    /// A string that may not be null, as bytes.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.buffer()?.ok_or(Malformed)
    }

    /// The number of elements of a vector; `None` is null.
    ///
    /// A count that the remaining bytes cannot hold, at `least` bytes an element, is malformed: so
    /// no count from outside ever sizes an allocation.
    pub fn vector(&mut self, least: usize) -> Result<Option<usize>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            n => {
                let n = usize::try_from(n).map_err(|_| Malformed)?;
                if n.checked_mul(least).is_none_or(|need| need > self.rest.len()) {
                    return Err(Malformed);
                }
                Ok(Some(n))
            }
        }
    }
}

/// Writes primitives to the end of a byte vector.
pub trait Write {
    /// A bool.
    fn put_bool(&mut self, v: bool);
    /// An int.
    fn put_int(&mut self, v: i32);
    /// A long.
    fn put_long(&mut self, v: i64);
    /// A buffer, or null.
    fn put_buffer(&mut self, v: Option<&[u8]>);
    /// A string.
    fn put_string(&mut self, v: &[u8]);
    /// The number of elements of a vector, or of anything whose length comes first.
    ///
    /// # Panics
    /// On more than `i32::MAX`: every caller's input is bounded long before that.
    fn put_count(&mut self, n: usize);
}

impl Write for Vec<u8> {
    fn put_bool(&mut self, v: bool) {
        self.push(u8::from(v));
    }

    fn put_int(&mut self, v: i32) {
        self.extend_from_slice(&v.to_be_bytes());
    }

    fn put_long(&mut self, v: i64) {
        self.extend_from_slice(&v.to_be_bytes());
    }

    fn put_buffer(&mut self, v: Option<&[u8]>) {
        match v {
            None => self.put_int(-1),
            Some(bytes) => self.put_string(bytes),
        }
    }

    fn put_string(&mut self, v: &[u8]) {
        self.put_count(v.len());
        self.extend_from_slice(v);
    }

    fn put_count(&mut self, n: usize) {
        self.put_int(i32::try_from(n).expect("lengths are bounded by the frame limit"));
    }
}

/// A record with one encoding. `encode` after `decode` gives back what Java emitted.
pub trait Record<'a>: Sized {
    /// Reads the record; bytes behind it stay with the reader.
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed>;
    /// Appends the record.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Starts a length-prefixed frame in `out`; [`end_frame`] with the mark fills in the length.
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let mark = out.len();
    out.put_int(0);
    mark
}

/// Ends the frame begun at `mark`: everything appended since is its payload.
pub fn end_frame(out: &mut [u8], mark: usize) {
    let payload = out.len() - mark - 4;
    let len = i32::try_from(payload).expect("lengths are bounded by the frame limit");
    out[mark..mark + 4].copy_from_slice(&len.to_be_bytes());
}
