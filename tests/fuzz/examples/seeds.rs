// SPDX-License-Identifier: Apache-2.0
//! Makes seeds from what Java sent and wrote: `seeds FOLDER` fills a folder a target below it.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let into = env::args().nth(1).expect("the folder to fill");
    let into = Path::new(&into);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    for entry in fs::read_dir(fixtures)? {
        let path = entry?.path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.extension().is_some_and(|ext| ext == "hex") {
            client(into, &name, &fs::read_to_string(&path)?)?;
        } else if path.is_dir() {
            data_directory(into, &name, &path)?;
        }
    }
    Ok(())
}

/// What a client sent: as a stream, packet by packet, and as a script for a whole server.
fn client(into: &Path, name: &str, capture: &str) -> io::Result<()> {
    let mut stream = vec![0xff, 0xff, 7];
    let mut script = Vec::new();
    for (n, line) in capture.lines().filter_map(|line| line.strip_prefix("> ")).enumerate() {
        let bytes = bytes(line.split(' ').next().unwrap_or_default());
        put(into, "request", &format!("{name}-{n}"), &bytes[4..])?;
        for piece in bytes.chunks(255) {
            script.extend([&[0, piece.len() as u8], piece].concat());
        }
        script.push(14);
        stream.extend(bytes);
    }
    put(into, "server", name, &script)?;
    put(into, "frame", name, &stream)
}

fn data_directory(into: &Path, name: &str, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let target = if file.starts_with("log.") { "log" } else { "snapshot" };
        let seed = [&[7], fs::read(&path)?.as_slice()].concat();
        put(into, target, &format!("{name}-{file}"), &seed)?;
    }
    Ok(())
}

fn put(into: &Path, target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = into.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(pair, 16).expect("a capture holds pairs of hex digits");
    digits.map(|pair| byte(std::str::from_utf8(pair).expect("a capture is ASCII"))).collect()
}
