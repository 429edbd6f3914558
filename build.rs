//! Lists the files of `static/` for `http::assets`, so that no list has to be kept by hand.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=static");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("static");
    let mut names = Vec::new();
    // Without pages the service still serves: a missing folder is an empty one.
    if root.is_dir() {
        list(&root, "", &mut names)?;
    }
    names.sort();
    let mut table = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for name in names {
        let file = format!("/static/{name}");
        writeln!(
            table,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {file:?}))),"
        )?;
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("assets.rs"), table)?;
    Ok(())
}

/// The names of all files below `folder`, with `/` between their parts; hidden ones are not for
/// the public.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::other(format!("{} is not a name that an address can hold", name.display()))
        })?;
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
