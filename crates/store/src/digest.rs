//! SHA-256 of bytes, of files, and of whatever is written into it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 18;

/// Takes bytes as any writer does, and says their SHA-256 at the end.
#[derive(Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Takes a part with its length before it, so that `ab`, `c` and `a`, `bc` differ.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// In hexadecimal.
    pub fn finish(self) -> String {
        let bytes = self.0.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let mut digester = Digester::default();
    digester.0.update(bytes);
    digester.finish()
}

/// The SHA-256 of a file's bytes, in hexadecimal. Memory: a small piece of the file.
pub fn digest_file(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut digester = Digester::default();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digester.finish()),
            Ok(count) => digester.0.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_digest_that_the_standard_gives_them() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), expected);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("abc");
        std::fs::write(&file, "abc").expect("a file");
        assert_eq!(digest_file(&file).expect("it is there"), expected);
    }

    #[test]
    fn parts_that_are_cut_elsewhere_have_another_digest() {
        let of = |parts: [&str; 2]| {
            let mut digester = Digester::default();
            for part in parts {
                digester.part(part.as_bytes());
            }
            digester.finish()
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }
}
