//! Keys from the configuration, from files beside it, and from a mounted Secret.

use super::*;
use crate::auth::{NewToken, mint};

mod in_force;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: &str = "[[issuers]]\nname='a'\nalgorithms=['HS256']\nsecret_file='jwt'\n";

/// A folder of files; it goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(scratch_folder());
        files
            .iter()
            .for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// The settings of a process that reads this folder, with `main.toml` in it.
    fn load(&self, main: &str) -> Result<Settings, SettingsErrors> {
        self.write("main.toml", main);
        Settings::load(Some(&self.0.join("main.toml")), std::iter::empty())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The environment of a process whose `auth.dir` is this one.
fn with_dir(folder: &Path) -> impl Iterator<Item = (String, String)> {
    let name = folder.display();
    [("CARILLON__AUTH__DIR".to_owned(), name.to_string())].into_iter()
}

/// The settings of such a process.
fn load_dir(folder: &Folder) -> Settings {
    Settings::load(None, with_dir(&folder.0)).unwrap()
}

#[track_caller]
fn dir_errors(folder: &Path) -> Vec<String> {
    assert!(
        Settings::load(None, with_dir(folder)).is_ok(),
        "a service does without what is not in order"
    );
    let errors = Settings::check(None, with_dir(folder)).err().unwrap().0;
    errors.iter().map(ToString::to_string).collect()
}

fn api_key(name: &str, hash: &str) -> String {
    format!("[[api_keys]]\nname='{name}'\nhash='{hash}'\nscopes=['send']\n")
}

/// A new key, and the table that accepts it.
fn service(name: &str) -> (String, String) {
    let (key, hash) = crate::auth::ApiKeys::generate();
    (key.expose().clone(), api_key(name, &hash))
}

fn alice(secret: &str) -> String {
    let issuer = IssuerSettings::hs256("test", secret);
    let token = NewToken {
        sub: "alice",
        exp: 2_000_000_000,
        ..NewToken::default()
    };
    mint(&issuer, &token).unwrap()
}

/// Whether the token is accepted.
fn connects(settings: &Settings, token: &str) -> bool {
    let verifier = settings.auth.credentials().unwrap().verifier;
    verifier.verify(token, 1_900_000_000_000).is_ok()
}

/// The service whose key it is.
fn sends(settings: &Settings, key: &str) -> Option<String> {
    let keys = settings.auth.credentials().unwrap().api_keys;
    keys.authenticate(key).map(|key| key.name.to_string())
}

#[test]
fn secrets_come_from_files_beside_the_one_that_names_them() {
    let folder = Folder::with(&[
        ("url", "redis://u:hunter2@localhost/\n"),
        ("jwt", &format!("{SECRET}\n")),
    ]);
    let issuer = ISSUER.replace("issuers", "auth.issuers");
    let settings = folder
        .load(&format!("[backend]\nurl_file='url'\n{issuer}"))
        .unwrap();
    let url = settings.backend.url.expose();
    assert_eq!(url, "redis://u:hunter2@localhost/");
    assert!(connects(&settings, &alice(SECRET)));
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(SECRET),
        "{shown}"
    );
}

#[test]
fn an_issuer_has_exactly_one_key() {
    let secret = format!("secret = \"{SECRET}\"");
    for keys in [
        "",
        &format!("{secret}\npublic_key = \"x\""),
        &format!("{secret}\nsecret_file='x'"),
    ] {
        let file = format!("[[auth.issuers]]\nname='a'\nalgorithms=['HS256']\n{keys}");
        let errors = errors(&file, &[]);
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert_error(&errors, &["auth.issuers.0", "exactly one of", "line 1"]);
        assert!(!errors[0].contains("0123456789"));
    }
}

#[test]
fn every_file_of_the_folder_adds_to_the_configuration() {
    let (orders, orders_table) = service("orders");
    let (billing, billing_table) = service("billing");
    let (own, own_table) = service("own");
    let folder = Folder::with(&[
        ("issuers.toml", ISSUER),
        ("jwt", SECRET),
        ("orders.toml", &orders_table),
        ("billing.toml", &billing_table),
        ("empty.toml", ""),
        ("README.md", "not TOML at all ="),
        (".hidden.toml", "neither is this ="),
    ]);
    std::fs::create_dir(folder.0.join("more.toml")).unwrap();
    let main = own_table.replace("api_keys", "auth.api_keys");
    let elsewhere = Folder::with(&[]);
    let path = folder.0.display();
    let settings = elsewhere
        .load(&format!("[auth]\ndir = \"{path}\"\n{main}"))
        .unwrap();
    assert!(connects(&settings, &alice(SECRET)));
    assert!(!connects(&settings, &alice(&SECRET.replace('0', "f"))));
    for (key, name) in [(orders, "orders"), (billing, "billing"), (own, "own")] {
        assert_eq!(sends(&settings, &key).as_deref(), Some(name));
    }
}

/// What the kubelet makes of a Secret: links to `..data`, which is a link that it swaps.
#[test]
fn a_mounted_secret_is_read_through_its_links_and_again_when_it_changed() {
    use std::os::unix::fs::symlink;
    let ((old, old_table), (new, new_table)) = (service("orders"), service("orders"));
    let folder = Folder::with(&[]);
    let version = |name: &str, secret: &str, table: &str| {
        std::fs::create_dir(folder.0.join(name)).unwrap();
        folder.write(&format!("{name}/issuers.toml"), ISSUER);
        folder.write(&format!("{name}/jwt"), secret);
        folder.write(&format!("{name}/orders.toml"), table);
    };
    version("..1", SECRET, &old_table);
    symlink("..1", folder.0.join("..data")).unwrap();
    for name in ["issuers.toml", "jwt", "orders.toml"] {
        symlink(format!("..data/{name}"), folder.0.join(name)).unwrap();
    }
    let settings = load_dir(&folder);
    assert!(connects(&settings, &alice(SECRET)));
    assert_eq!(sends(&settings, &old).as_deref(), Some("orders"));

    let secret = SECRET.to_uppercase();
    version("..2", &secret, &new_table);
    symlink("..2", folder.0.join("..next")).unwrap();
    std::fs::rename(folder.0.join("..next"), folder.0.join("..data")).unwrap();
    assert!(connects(&settings, &alice(&secret)) && !connects(&settings, &alice(SECRET)));
    assert_eq!(sends(&settings, &new).as_deref(), Some("orders"));
    assert_eq!(sends(&settings, &old), None, "what was revoked is refused");
}

#[test]
fn mistakes_in_the_folder_name_file_and_field() {
    let hash = "a".repeat(64);
    let folder = Folder::with(&[
        ("broken.toml", "[[issuers"),
        ("first.toml", &api_key("first", &hash)),
        ("gone.toml", ISSUER),
        (
            "orders.toml",
            "\n[[api_keys]]\nname='a'\nhsah='x'\nscopes=['fly']",
        ),
        ("plain.toml", "[[auth.api_keys]]\nname='a'"),
        (
            "second.toml",
            &format!("{}{}", api_key("x", "ck_plain"), api_key("second", &hash)),
        ),
        (
            "short.toml",
            "[[issuers]]\nname='a'\nalgorithms=['HS256']\nsecret='hunter2'",
        ),
    ]);
    std::os::unix::fs::symlink("nowhere", folder.0.join("link")).unwrap();
    let errors = dir_errors(&folder.0);
    assert_error(&errors, &["broken.toml", "not valid TOML", "line 1"]);
    assert_error(
        &errors,
        &[
            "gone.toml: issuers.0.secret_file:",
            "/jwt)",
            "cannot be read",
        ],
    );
    assert_error(
        &errors,
        &[
            "orders.toml: api_keys.0.hsah: unknown",
            "line 4)",
            "`api_keys.0.hash`",
        ],
    );
    assert_error(&errors, &["orders.toml: api_keys.0.scopes:", "line 5)"]);
    assert_error(&errors, &["orders.toml: api_keys.0.hash: is missing"]);
    assert_error(
        &errors,
        &["plain.toml: auth: unknown", "known here: issuers, api_keys"],
    );
    assert_error(
        &errors,
        &[
            "second.toml: api_keys.0.hash: is the key itself",
            "second.toml, line 1)",
        ],
    );
    assert_error(
        &errors,
        &[
            "second.toml: api_keys.1.hash:",
            "`first`",
            "second.toml, line 5)",
        ],
    );
    assert_error(&errors, &["short.toml: issuers.0.secret:", "7 bytes"]);
    assert_eq!(errors.len(), 9, "{errors:#?}");
    let shown = errors.concat();
    assert!(!shown.contains("hunter2") && !shown.contains("ck_plain"));
}

#[test]
fn a_folder_that_cannot_be_read_is_a_mistake() {
    let folder = Folder::with(&[]);
    let settings = load_dir(&folder);
    let keys = settings.auth.credentials().unwrap().api_keys;
    assert!(keys.is_empty(), "an empty folder is none");

    let link = folder.0.join("orders.toml");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    assert_error(
        &dir_errors(&folder.0),
        &["auth.dir: cannot be read", "orders.toml"],
    );
    std::fs::remove_file(&link).unwrap();

    assert_error(
        &dir_errors(Path::new("/nonexistent/auth")),
        &["auth.dir: cannot be read", "/nonexistent/auth"],
    );
}
