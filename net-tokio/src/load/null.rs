// SPDX-License-Identifier: Apache-2.0
//! The limit that servers are measured against: takes requests apart and answers at once, from
//! nothing. With a folder to sync in, whatever all connections asked to be written in one round is
//! appended and synced as one batch before any of it is answered.
//!
//! One thread does everything, the sync included: for a lone request no server can take fewer
//! hops. The file is written over and over in place, so that a sync changes no metadata.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
};

use menagerie_core::{
    frame::ClientFramer,
    id::{SessionId, Zxid},
    io::Frame,
    jute::{Reader, Record, Write, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, OpCode, PASSWORD_LEN, ReplyHeader, RequestHeader, Stat,
    },
};
use tokio::{
    io::AsyncReadExt,
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::spawn_local,
};

/// Bytes taken from a socket at once.
const READ_AT_ONCE: usize = 1 << 16;

/// The longest packet taken.
const MAX_PACKET: u32 = 1 << 20;

/// The length of the file that batches are written to.
const FILE_LEN: usize = 64 << 20;

struct Null {
    /// What each getData gives back.
    value: Vec<u8>,
    /// How many writes and sessions there were.
    zxid: Cell<Zxid>,
    log: Option<RefCell<Log>>,
    flush: Notify,
}

/// Batches go round in one file.
struct Log {
    file: File,
    at: u64,
    batch: Vec<u8>,
    /// Who is answered when the batch is synced.
    waiting: Vec<Rc<Conn>>,
}

struct Conn {
    stream: OwnedWriteHalf,
    out: RefCell<Vec<u8>>,
    /// Whether what is in `out` waits for the next sync.
    staged: Cell<bool>,
}

/// Serves on `address` until the process ends. Values have `value_size` bytes; `sync` is the
/// folder for the batches, if there are to be any.
pub async fn serve(
    address: &str,
    value_size: usize,
    sync: Option<&Path>,
) -> io::Result<Infallible> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot serve on {address}: {error}"))
    })?;
    let log = sync.map(Log::begin).transpose()?.map(RefCell::new);
    let value = vec![b'x'; value_size];
    let zxid = Cell::new(Zxid::ZERO);
    let null = Rc::new(Null { value, zxid, log, flush: Notify::new() });
    spawn_local(flush_when_wanted(null.clone()));
    eprintln!("answering from nothing on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (incoming, stream) = stream.into_split();
        let conn = Rc::new(Conn { stream, out: RefCell::default(), staged: Cell::new(false) });
        spawn_local(talk(null.clone(), incoming, conn));
    }
}

/// Answers a connection until it ends.
async fn talk(null: Rc<Null>, mut incoming: OwnedReadHalf, conn: Rc<Conn>) {
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut framer = ClientFramer::new(MAX_PACKET);
    let (mut open, mut sound) = (false, true);
    while sound
        && let Ok(n) = incoming.read(&mut buffer).await
        && n > 0
    {
        framer.push(&buffer[..n], |frame| match frame {
            Frame::Packet(packet) if open => sound &= null.answer(packet, &conn).is_some(),
            Frame::Packet(packet) => {
                open = null.greet(packet, &conn).is_some();
                sound &= open;
            }
            _ => sound = false,
        });
        if conn.staged.get() {
            null.flush.notify_one();
        } else {
            sound &= conn.write_out().await.is_ok();
        }
    }
}

/// Syncs and answers what was staged, after all sockets that were ready have been read.
async fn flush_when_wanted(null: Rc<Null>) {
    let Some(log) = &null.log else { return };
    loop {
        null.flush.notified().await;
        let waiting = log.borrow_mut().flush().expect("a limit needs a disk that works");
        for conn in waiting {
            conn.staged.set(false);
            // Who is gone need not be answered.
            let _ = conn.write_out().await;
        }
    }
}

impl Null {
    fn next_zxid(&self) -> Zxid {
        self.zxid.set(self.zxid.get().next());
        self.zxid.get()
    }

    fn greet(&self, packet: &[u8], conn: &Conn) -> Option<()> {
        let hello = ConnectRequest::decode(&mut Reader::new(packet)).ok()?;
        let out = &mut *conn.out.borrow_mut();
        let mark = begin_frame(out);
        let welcome = ConnectResponse {
            protocol_version: 0,
            timeout_ms: hello.timeout_ms,
            session: SessionId(self.next_zxid().0),
            password: &[0; PASSWORD_LEN],
            read_only: Some(false),
        };
        welcome.encode(out);
        end_frame(out, mark);
        Some(())
    }

    /// Answers a request with as many bytes as a server would, after the next sync if it writes.
    fn answer(&self, packet: &[u8], conn: &Rc<Conn>) -> Option<()> {
        let mut body = Reader::new(packet);
        let RequestHeader { xid, op } = RequestHeader::decode(&mut body).ok()?;
        let op = OpCode::from_code(op)?;
        let write = matches!(op, OpCode::Create | OpCode::SetData);
        let zxid = if write { self.next_zxid() } else { self.zxid.get() };
        let out = &mut *conn.out.borrow_mut();
        let mark = begin_frame(out);
        ReplyHeader { xid, zxid, err: 0 }.encode(out);
        match op {
            OpCode::GetData => {
                out.put_string(&self.value);
                Stat::default().encode(out);
            }
            OpCode::SetData => Stat::default().encode(out),
            OpCode::Create => out.put_string(body.string().ok()?),
            _ => {}
        }
        end_frame(out, mark);
        if write && let Some(log) = &self.log {
            let log = &mut *log.borrow_mut();
            log.batch.extend_from_slice(packet);
            if !conn.staged.replace(true) {
                log.waiting.push(conn.clone());
            }
        }
        Some(())
    }
}

impl Log {
    /// A file of zeroes in `folder`, which no name leads to any more.
    fn begin(folder: &Path) -> io::Result<Log> {
        let path = folder.join(format!("null-{}", std::process::id()));
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(told)?;
        fs::remove_file(&path).map_err(told)?;
        file.write_all_at(&vec![0; FILE_LEN], 0).map_err(told)?;
        file.sync_all().map_err(told)?;
        Ok(Log { file, at: 0, batch: Vec::new(), waiting: Vec::new() })
    }

    fn flush(&mut self) -> io::Result<Vec<Rc<Conn>>> {
        if self.at + self.batch.len() as u64 > FILE_LEN as u64 {
            self.at = 0;
        }
        self.file.write_all_at(&self.batch, self.at)?;
        self.file.sync_data()?;
        self.at += self.batch.len() as u64;
        self.batch.clear();
        Ok(std::mem::take(&mut self.waiting))
    }
}

impl Conn {
    async fn write_out(&self) -> io::Result<()> {
        let mut out = self.out.take();
        let mut taken = 0;
        while taken < out.len() {
            match self.stream.try_write(&out[taken..]) {
                Ok(n) => taken += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        out.clear();
        // What was answered meanwhile goes out with the next round.
        if self.out.borrow().is_empty() {
            self.out.replace(out);
        }
        Ok(())
    }
}
