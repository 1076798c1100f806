// SPDX-License-Identifier: Apache-2.0
//! File lanes on threads: each lane's operations one after the other, lanes beside one another.
//!
//! Whatever a turn ordered on a lane is one batch, reported as one. It is run by a thread of the
//! runtime's pool, so a durable write costs one hop there and one back; unless the disk is so quick
//! that the hops would take longer than the work: then it is done on the spot.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use menagerie_core::{
    id::{FileId, LaneId, OpId},
    io::{Dir, DirEntry, FileError, FileErrorKind, FileOp, FileOutput},
};
use tokio::{sync::mpsc::UnboundedSender, task::spawn_blocking};

/// Zeroes are written in blocks of this size.
const ZEROES: &[u8] = &[0; 1 << 17];

/// A lane whose last small append took less than this does the next one on the spot, where all
/// links wait for it. Two wake-ups of idle processors take about as long.
const SHORTER_THAN_HOPS: Duration = Duration::from_micros(200);

/// Bytes that an append done on the spot has at most. While a larger one is synced there is enough
/// else to do.
const FEW: usize = 16 << 10;

/// Where the three folders are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `dataDir`.
    pub root: PathBuf,
    /// `dataDir/version-2`.
    pub snap: PathBuf,
    /// `dataLogDir/version-2`.
    pub log: PathBuf,
}

impl Folders {
    /// The folders of a server with these settings.
    pub fn new(data_dir: &Path, data_log_dir: &Path) -> Folders {
        Folders {
            root: data_dir.to_path_buf(),
            snap: data_dir.join("version-2"),
            log: data_log_dir.join("version-2"),
        }
    }

    fn path(&self, dir: Dir) -> &Path {
        match dir {
            Dir::Root => &self.root,
            Dir::Snap => &self.snap,
            Dir::Log => &self.log,
        }
    }
}

/// What an operation gave back, owned, on its way to the core.
#[derive(Debug)]
pub enum Output {
    Done,
    Names(Vec<DirEntry>),
    Bytes(Vec<u8>),
    Length(u64),
}

impl Output {
    /// The same, as the core takes it.
    pub fn lend(&self) -> FileOutput<'_> {
        match self {
            Output::Done => FileOutput::Done,
            Output::Names(names) => FileOutput::Names(names),
            Output::Bytes(bytes) => FileOutput::Bytes(bytes),
            Output::Length(len) => FileOutput::Length(*len),
        }
    }
}

/// An operation's end.
pub type Completion = (OpId, Result<Output, FileError>);

type Batch = Vec<(OpId, FileOp)>;

/// The lanes of one server.
pub struct Files {
    shared: Arc<Shared>,
    lanes: HashMap<LaneId, Arc<Mutex<Lane>>>,
    staged: Vec<(LaneId, Batch)>,
    done: UnboundedSender<Vec<Completion>>,
}

#[derive(Default)]
struct Lane {
    queue: Batch,
    /// Whether a thread is at it.
    running: bool,
    /// Whether an operation failed: then none after it is tried.
    broken: bool,
    /// Whether the last small append was done sooner than a thread can be woken.
    quick: bool,
}

struct Shared {
    folders: Folders,
    open: Mutex<HashMap<FileId, Arc<File>>>,
    /// Held, never read: the lock lives as long as the file is open.
    locks: Mutex<Vec<File>>,
}

impl Files {
    /// Lanes over `folders`; ends of operations go to `done`, a lane's batch at a time.
    pub fn new(folders: Folders, done: UnboundedSender<Vec<Completion>>) -> Files {
        let shared = Shared { folders, open: Mutex::default(), locks: Mutex::default() };
        Files { shared: Arc::new(shared), lanes: HashMap::new(), staged: Vec::new(), done }
    }

    /// Orders an operation; it starts with [`Files::submit`].
    pub fn order(&mut self, lane: LaneId, op: OpId, what: FileOp) {
        match self.staged.iter_mut().find(|(staged, _)| *staged == lane) {
            Some((_, batch)) => batch.push((op, what)),
            None => self.staged.push((lane, vec![(op, what)])),
        }
    }

    /// Starts everything ordered since the last time.
    pub fn submit(&mut self) {
        for (id, batch) in self.staged.drain(..) {
            let lane = self.lanes.entry(id).or_default();
            let mut state = lane.lock().expect("no lane panics");
            state.queue.extend(batch);
            if state.running {
                continue;
            }
            state.running = true;
            let on_the_spot = state.quick && is_small_append(&state.queue);
            drop(state);
            if on_the_spot {
                run_lane(lane, &self.shared, &self.done);
            } else {
                let (lane, shared, done) = (lane.clone(), self.shared.clone(), self.done.clone());
                spawn_blocking(move || run_lane(&lane, &shared, &done));
            }
        }
    }
}

/// Whether a batch writes little and then syncs, so that it takes about as long as another such.
fn is_small_append(batch: &[(OpId, FileOp)]) -> bool {
    let [writes @ .., (_, FileOp::Sync { .. })] = batch else { return false };
    let mut room = FEW;
    writes.iter().all(|(_, what)| match what {
        FileOp::Write { data, .. } if data.len() <= room => {
            room -= data.len();
            true
        }
        _ => false,
    })
}

/// Runs what is queued on a lane, and what is queued meanwhile.
fn run_lane(lane: &Mutex<Lane>, shared: &Shared, done: &UnboundedSender<Vec<Completion>>) {
    loop {
        let (batch, mut broken) = {
            let mut state = lane.lock().expect("no lane panics");
            if state.queue.is_empty() {
                state.running = false;
                return;
            }
            (std::mem::take(&mut state.queue), state.broken)
        };
        let (append, began) = (is_small_append(&batch), Instant::now());
        let mut results = Vec::with_capacity(batch.len());
        for (op, what) in batch {
            let result = if broken { Err(not_run()) } else { shared.run(what) };
            broken |= result.is_err();
            results.push((op, result));
        }
        let mut state = lane.lock().expect("no lane panics");
        state.broken = broken;
        if append {
            state.quick = began.elapsed() < SHORTER_THAN_HOPS;
        }
        drop(state);
        if done.send(results).is_err() {
            return;
        }
    }
}

fn not_run() -> FileError {
    let text = "not tried: an earlier operation of its lane failed".into();
    FileError { kind: FileErrorKind::NotRun, text }
}

impl Shared {
    fn run(&self, what: FileOp) -> Result<Output, FileError> {
        let told = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| file_error(&path, &error)
        };
        match what {
            FileOp::List { dir, make } => {
                let folder = self.folders.path(dir);
                list(folder, make).map(Output::Names).map_err(told(folder))
            }
            FileOp::Open { file, dir, name } => {
                let path = self.folders.path(dir).join(name);
                let opened = OpenOptions::new().read(true).write(true).open(&path);
                let opened = opened.map_err(told(&path))?;
                let len = opened.metadata().map_err(told(&path))?.len();
                self.keep(file, opened);
                Ok(Output::Length(len))
            }
            FileOp::Create { file, dir, name } => {
                let path = self.folders.path(dir).join(name);
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true);
                self.keep(file, options.open(&path).map_err(told(&path))?);
                Ok(Output::Done)
            }
            FileOp::Rename { dir, from, to } => {
                let folder = self.folders.path(dir);
                fs::rename(folder.join(&from), folder.join(to))
                    .map_err(told(&folder.join(from)))?;
                Ok(Output::Done)
            }
            FileOp::Unlink { dir, name } => {
                let path = self.folders.path(dir).join(name);
                fs::remove_file(&path).map_err(told(&path)).map(|()| Output::Done)
            }
            FileOp::SyncDir { dir } => {
                let folder = self.folders.path(dir);
                let sync = File::open(folder).and_then(|folder| folder.sync_all());
                sync.map_err(told(folder)).map(|()| Output::Done)
            }
            FileOp::Lock { dir, name } => self.lock(&self.folders.path(dir).join(name)),
            FileOp::Close { file } => {
                self.open.lock().expect("no lane panics").remove(&file);
                Ok(Output::Done)
            }
            FileOp::Read { .. }
            | FileOp::Write { .. }
            | FileOp::Preallocate { .. }
            | FileOp::Sync { .. }
            | FileOp::Truncate { .. } => self.run_on_file(what),
        }
    }

    fn run_on_file(&self, what: FileOp) -> Result<Output, FileError> {
        let result = match &what {
            FileOp::Read { file, offset, len } => {
                read_up_to(&self.file(*file), *offset, *len as usize).map(Output::Bytes)
            }
            FileOp::Write { file, offset, data } => {
                self.file(*file).write_all_at(data, *offset).map(|()| Output::Done)
            }
            FileOp::Preallocate { file, offset, len } => {
                write_zeroes(&self.file(*file), *offset, *len).map(|()| Output::Done)
            }
            FileOp::Sync { file } => self.file(*file).sync_data().map(|()| Output::Done),
            FileOp::Truncate { file, len } => self.file(*file).set_len(*len).map(|()| Output::Done),
            _ => unreachable!("operations on names are run elsewhere"),
        };
        result.map_err(|error| file_error("the data directory", &error))
    }

    fn keep(&self, id: FileId, file: File) {
        self.open.lock().expect("no lane panics").insert(id, Arc::new(file));
    }

    fn file(&self, id: FileId) -> Arc<File> {
        let open = self.open.lock().expect("no lane panics");
        open.get(&id).expect("the core opens files before it uses them").clone()
    }

    fn lock(&self, path: &Path) -> Result<Output, FileError> {
        let told = |error: &io::Error| file_error(&path.display().to_string(), error);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(path).map_err(|error| told(&error))?;
        match file.try_lock() {
            Ok(()) => {
                self.locks.lock().expect("no lane panics").push(file);
                Ok(Output::Done)
            }
            Err(fs::TryLockError::WouldBlock) => Err(FileError {
                kind: FileErrorKind::Locked,
                text: format!("{}: another process holds the lock", path.display()),
            }),
            Err(fs::TryLockError::Error(error)) => Err(told(&error)),
        }
    }
}

fn list(folder: &Path, make: bool) -> io::Result<Vec<DirEntry>> {
    if make {
        fs::create_dir_all(folder)?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(DirEntry { name, len: metadata.len() });
        }
    }
    names.sort();
    Ok(names)
}

fn read_up_to(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn write_zeroes(file: &File, mut offset: u64, len: u64) -> io::Result<()> {
    let end = offset + len;
    while offset < end {
        let n = ZEROES.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        file.write_all_at(&ZEROES[..n], offset)?;
        offset += n as u64;
    }
    Ok(())
}

fn file_error(place: &str, error: &io::Error) -> FileError {
    let kind = match error.kind() {
        ErrorKind::NotFound => FileErrorKind::NotFound,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FileErrorKind::Denied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FileErrorKind::Full,
        _ => FileErrorKind::Other,
    };
    FileError { kind, text: format!("{place}: {error}") }
}
