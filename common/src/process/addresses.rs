//! Tells others, such as tests that let the system choose the ports, where the service listens.

use std::{fs, io, net::SocketAddr, path::Path};

use serde::Serialize;

/// Where a service listens.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Addresses {
    /// The REST port.
    pub public: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
}

/// Writes the addresses as JSON: whoever sees the file sees the whole of it.
///
/// # Errors
/// Those of writing beside `path` and renaming to it.
pub fn write_addresses(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = Path::new(&name);
    fs::write(unfinished, serde_json::to_vec(addresses)?)?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_addresses_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("addresses.json");
        fs::write(&path, "older").unwrap();
        let addresses = Addresses {
            public: ([127, 0, 0, 1], 1).into(),
            admin: ([127, 0, 0, 1], 2).into(),
        };
        write_addresses(&path, &addresses).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"public":"127.0.0.1:1","admin":"127.0.0.1:2"}"#
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
