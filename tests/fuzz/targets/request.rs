// SPDX-License-Identifier: Apache-2.0
//! Requests of clients, handshakes among them: what reads, writes to as many bytes as it was read
//! from, and those read to the same again; what memory it takes is bounded by its bytes.
//!
//! Input: a packet, without its length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    jute::{Reader, Record},
    proto::{ConnectRequest, Request, RequestHeader},
};
use menagerie_fuzz::within;

fuzz_target!(|packet: &[u8]| {
    let mut r = Reader::new(packet);
    if let Ok(connect) = ConnectRequest::decode(&mut r) {
        let mut again = Vec::new();
        connect.encode(&mut again);
        assert_eq!(again.len(), packet.len() - r.rest().len());
        assert_eq!(ConnectRequest::decode(&mut Reader::new(&again)), Ok(connect));
    }
    let mut r = Reader::new(packet);
    let Ok(header) = RequestHeader::decode(&mut r) else { return };
    let body = r.rest();
    // The smallest operation of a multi is 17 bytes, and a growing vector holds it thrice.
    let request = within(48 * body.len() + 1024, || Request::decode(header.op, &mut r));
    let Ok(request) = request else { return };
    assert_eq!(request.op().code(), header.op);
    let mut again = Vec::new();
    request.encode(&mut again);
    // Null paths read as empty ones, and any byte but zero as true: as many bytes, though others.
    assert_eq!(again.len(), body.len() - r.rest().len(), "{request:?}");
    let mut r = Reader::new(&again);
    assert_eq!(Request::decode(header.op, &mut r), Ok(request));
    assert!(r.is_empty());
});
