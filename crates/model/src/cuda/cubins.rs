//! Compiled kernels on disk, so that a run does not begin with a minute of compiling. A file's
//! name is the hash of all that it was compiled from, and its first line the hash of the rest.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::failure::gpu;
use crate::ModelError;

/// The compiled kernels of what `inputs` say, out of the folder or of `compile`.
///
/// # Errors
/// Those of `compile`, and if the folder cannot be read or written.
pub(super) fn cached(
    folder: &Path,
    inputs: &[&str],
    compile: impl FnOnce() -> Result<Vec<u8>, ModelError>,
) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(format!("{}.cubin", key(inputs)));
    match fs::read(&path) {
        Ok(file) => {
            if let Some(cubin) = whole(&file) {
                return Ok(cubin.to_vec());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unusable("read", &path, &error)),
    }
    let cubin = compile()?;
    write(&path, &cubin).map_err(|error| unusable("write", &path, &error))?;
    Ok(cubin)
}

/// A hash that is another one whenever any input, or where one ends, is.
fn key(inputs: &[&str]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a file holds, if it is as it was written.
fn whole(file: &[u8]) -> Option<&[u8]> {
    let (line, cubin) = file.split_at_checked(65)?;
    (line == header(cubin).as_bytes()).then_some(cubin)
}

fn header(cubin: &[u8]) -> String {
    hex(Sha256::new_with_prefix(cubin)) + "\n"
}

/// Written beside and renamed: other processes see the whole file or none.
fn write(path: &Path, cubin: &[u8]) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
    fs::write(&beside, [header(cubin).as_bytes(), cubin].concat())?;
    fs::rename(&beside, path)
}

fn unusable(action: &str, path: &Path, error: &std::io::Error) -> ModelError {
    gpu(
        format!(
            "cannot {action} compiled kernels at `{}`: {error}",
            path.display()
        ),
        "XDG_CACHE_HOME in the environment says under which folder they are kept",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{cached, key};

    fn compiled(folder: &std::path::Path, inputs: &[&str]) -> (Vec<u8>, bool) {
        let mut asked = false;
        let cubin = cached(folder, inputs, || {
            asked = true;
            Ok(inputs.concat().into_bytes())
        });
        (cubin.unwrap(), asked)
    }

    #[test]
    fn what_was_compiled_is_read_until_anything_about_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("not/there/yet");
        assert_eq!(
            compiled(&inside, &["sm_90", "source"]),
            (b"sm_90source".to_vec(), true)
        );
        assert_eq!(
            compiled(&inside, &["sm_90", "source"]),
            (b"sm_90source".to_vec(), false)
        );
        assert_eq!(
            compiled(&inside, &["sm_80", "source"]),
            (b"sm_80source".to_vec(), true)
        );
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        let names = fs::read_dir(&inside)
            .unwrap()
            .map(|file| file.unwrap().path());
        assert_eq!(
            names
                .filter(|path| path.extension().unwrap() == "cubin")
                .count(),
            2
        );
    }

    #[test]
    fn a_damaged_file_is_compiled_again() {
        let folder = tempfile::tempdir().unwrap();
        compiled(folder.path(), &["source"]);
        let path = folder.path().join(format!("{}.cubin", key(&["source"])));
        let whole = fs::read(&path).unwrap();
        for damaged in [
            &whole[..0],
            &whole[..10],
            &whole[..whole.len() - 1],
            b"\xff\xfe",
        ] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(
                compiled(folder.path(), &["source"]),
                (b"source".to_vec(), true)
            );
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = cached(&file.join("cubins"), &["source"], || Ok(Vec::new())).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("file/cubins/") && text.contains("XDG_CACHE_HOME"),
            "{text}"
        );
    }
}
