//! Embeds the page: writes a table of the files under `assets/` for `src/assets.rs`.

use std::{
    env, fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=assets");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("assets");
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let path = file.strip_prefix(&root).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        let mut hash = DefaultHasher::new();
        hash.write(&fs::read(file)?);
        let (etag, media_type) = (format!("\"{:016x}\"", hash.finish()), media_type(&path)?);
        let (path, file) = (format!("{path:?}"), format!("{:?}", file.display().to_string()));
        let rest = format!("media_type: {media_type:?}, etag: {etag:?}, bytes: include_bytes!({file})");
        table.extend(["Asset { path: ", &path, ", ", &rest, " },\n"]);
    }
    table += "]\n";
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("assets.rs"), table)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type()? {
            _ if is_hidden => {}
            kind if kind.is_dir() => list(&entry.path(), files)?,
            _ => files.push(entry.path()),
        }
    }
    Ok(())
}

fn media_type(path: &str) -> io::Result<&'static str> {
    Ok(match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => return Err(io::Error::other(format!("assets/{path}: name its media type in build.rs"))),
    })
}
