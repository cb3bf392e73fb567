//! What is in force after files of `auth.dir` were changed, broken, moved and removed.

use super::*;
use crate::auth::Keyring;
use crate::settings::{InForce, Reading, Stamp};

/// What a process has in force.
struct Process {
    auth: AuthSettings,
    in_force: InForce,
    keyring: Keyring,
}

/// What a reading changed.
#[derive(Debug, Default, PartialEq)]
struct Change {
    came: Vec<String>,
    went: Vec<String>,
    /// The files that are not in order, and whether what they held stays.
    faults: Vec<(String, bool)>,
    /// Whether connections have to look whether their token still stands.
    revokes: bool,
}

impl Process {
    fn start(auth: &AuthSettings) -> (Self, Change) {
        let none = AuthSettings {
            dir: None,
            ..auth.clone()
        };
        let mut process = Self {
            auth: auth.clone(),
            in_force: InForce::nothing(auth),
            keyring: Keyring::new(none.credentials().unwrap()),
        };
        let change = process.reload();
        (process, change)
    }

    fn reload(&mut self) -> Change {
        let (new, faults) = self.in_force.take(&Reading::of(&self.auth));
        let before = self.keyring.current();
        let (came, went) = (new.beyond(&before), before.beyond(&new));
        drop(before);
        let revocations = self.keyring.keys_gone();
        self.keyring.replace(new);
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let faults = faults
            .into_iter()
            .map(|it| (name(it.file.unwrap()), it.kept));
        Change {
            came,
            went,
            faults: faults.collect(),
            revokes: revocations.has_changed().unwrap(),
        }
    }

    fn connects(&self, token: &str) -> bool {
        let verifier = &self.keyring.current().verifier;
        verifier.verify(token, 1_900_000_000_000).is_ok()
    }

    fn sends(&self, key: &str) -> bool {
        self.keyring.current().api_keys.authenticate(key).is_some()
    }
}

fn auth(folder: &Folder) -> AuthSettings {
    load_dir(folder).auth
}

fn issuer(name: &str, secret: &str) -> String {
    format!("[[issuers]]\nname='{name}'\nalgorithms=['HS256']\nsecret='{secret}'\n")
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_came_and_went_is_told_and_nothing_else_has_changed() {
    let ((orders, orders_table), (billing, billing_table)) =
        (service("orders"), service("billing"));
    let folder = Folder::with(&[
        ("a.toml", &issuer("main", SECRET)),
        ("b.toml", &orders_table),
    ]);
    let (mut process, change) = Process::start(&auth(&folder));
    assert_eq!(change.came, words(&["issuer main", "API key orders"]));
    assert_eq!(process.reload(), Change::default());

    folder.write("c.toml", &billing_table);
    let came = words(&["API key billing"]);
    let expected = Change {
        came,
        ..Change::default()
    };
    assert_eq!(process.reload(), expected);
    assert!(process.sends(&orders) && process.sends(&billing));

    // Another scope is another key of the same name.
    folder.write("b.toml", &orders_table.replace("'send'", "'send','read'"));
    let change = process.reload();
    assert_eq!(
        (&change.came, &change.went),
        (&change.went, &words(&["API key orders"]))
    );

    std::fs::remove_file(folder.0.join("c.toml")).unwrap();
    let went = words(&["API key billing"]);
    let expected = Change {
        went,
        ..Change::default()
    };
    assert_eq!(process.reload(), expected);
    assert!(process.sends(&orders) && !process.sends(&billing));
    assert!(process.connects(&alice(SECRET)));
}

#[test]
fn a_signing_secret_is_rotated_with_overlap() {
    let (old, new) = (SECRET, SECRET.to_uppercase());
    let both = format!("{}{}", issuer("main", old), issuer("main", &new));
    let folder = Folder::with(&[("a.toml", &issuer("main", old))]);
    let (mut process, _) = Process::start(&auth(&folder));

    folder.write("a.toml", &both);
    let change = process.reload();
    assert_eq!(
        (change.came, change.revokes),
        (words(&["issuer main"]), false)
    );
    assert!(process.connects(&alice(old)) && process.connects(&alice(&new)));

    folder.write("a.toml", &issuer("main", &new));
    let change = process.reload();
    assert_eq!(
        (change.went, change.revokes),
        (words(&["issuer main"]), true)
    );
    assert!(!process.connects(&alice(old)) && process.connects(&alice(&new)));

    // Removed, and there again.
    folder.write("a.toml", "");
    assert!(process.reload().revokes && !process.connects(&alice(&new)));
    folder.write("a.toml", &issuer("main", &new));
    assert_eq!(process.reload().came, words(&["issuer main"]));
    assert!(process.connects(&alice(&new)));
}

#[test]
fn a_file_that_breaks_keeps_what_it_held_and_holds_up_no_other() {
    let ((orders, orders_table), (billing, billing_table)) =
        (service("orders"), service("billing"));
    let folder = Folder::with(&[
        ("issuers.toml", ISSUER),
        ("jwt", SECRET),
        ("orders.toml", &orders_table),
    ]);
    let (mut process, _) = Process::start(&auth(&folder));
    for (file, text) in [
        ("orders.toml", orders_table.replace("hash='", "hash='zz")),
        ("orders.toml", orders_table.replace("]]", "")),
        ("issuers.toml", ISSUER.replace("jwt", "gone")),
        ("issuers.toml", format!("{ISSUER}\n[[issuers]]\nname='b'\n")),
        ("jwt", "short".to_owned()),
    ] {
        let before = std::fs::read_to_string(folder.0.join(file)).unwrap();
        folder.write(file, &text);
        folder.write("billing.toml", &billing_table);
        let change = process.reload();
        let broken = if file == "jwt" { "issuers.toml" } else { file };
        let expected = Change {
            came: words(&["API key billing"]),
            faults: vec![(broken.to_owned(), true)],
            ..Change::default()
        };
        assert_eq!(change, expected, "{file}: {text}");
        assert!(process.sends(&orders) && process.connects(&alice(SECRET)));

        folder.write(file, &before);
        std::fs::remove_file(folder.0.join("billing.toml")).unwrap();
        let change = process.reload();
        assert!(
            change.faults.is_empty() && !change.revokes,
            "{file}: {change:?}"
        );
        assert!(!process.sends(&billing));
    }
}

#[test]
fn a_file_that_is_broken_at_the_start_is_left_out() {
    let ((orders, orders_table), (_, broken)) = (service("orders"), service("billing"));
    let broken = broken.replace("hash='", "hash='zz");
    let folder = Folder::with(&[("a.toml", &orders_table), ("b.toml", &broken)]);
    std::os::unix::fs::symlink("nowhere", folder.0.join("c.toml")).unwrap();
    let (process, change) = Process::start(&auth(&folder));
    let left_out = ["b.toml", "c.toml"].map(|file| (file.to_owned(), false));
    assert_eq!(change.faults, left_out);
    assert_eq!(change.came, words(&["API key orders"]));
    assert!(process.sends(&orders));
}

#[test]
fn a_key_that_moved_out_of_a_broken_file_is_the_other_files() {
    let ((orders, orders_table), (billing, billing_table)) =
        (service("orders"), service("billing"));
    let both = format!("{orders_table}{billing_table}");
    let folder = Folder::with(&[("a.toml", &both)]);
    let (mut process, _) = Process::start(&auth(&folder));
    folder.write("a.toml", "[[api_keys");
    folder.write("b.toml", &orders_table);
    let change = process.reload();
    assert_eq!(change.faults, [("a.toml".to_owned(), true)]);
    assert_eq!((&change.came, &change.went), (&Vec::new(), &Vec::new()));
    assert!(process.sends(&orders) && process.sends(&billing));
    folder.write("a.toml", &billing_table);
    assert_eq!(process.reload(), Change::default());
    // The same key in two files is a mistake of the later one.
    folder.write("b.toml", &both);
    assert_eq!(process.reload().faults, [("b.toml".to_owned(), true)]);
    assert!(process.sends(&orders) && process.sends(&billing));
}

#[test]
fn a_folder_that_goes_takes_nothing_with_it() {
    let (orders, orders_table) = service("orders");
    let (own, own_table) = service("own");
    let folder = Folder::with(&[]);
    std::fs::create_dir(folder.0.join("auth")).unwrap();
    folder.write("auth/orders.toml", &orders_table);
    let own_table = own_table.replace("api_keys", "auth.api_keys");
    let main = format!("[auth]\ndir = 'auth'\n{own_table}");
    let settings = folder.load(&main).unwrap();
    let (mut process, _) = Process::start(&settings.auth);
    std::fs::rename(folder.0.join("auth"), folder.0.join("elsewhere")).unwrap();
    for _ in 0..2 {
        let expected = Change {
            faults: vec![("auth".to_owned(), true)],
            ..Change::default()
        };
        assert_eq!(process.reload(), expected);
        assert!(process.sends(&orders) && process.sends(&own));
    }
    // One that is there and empty is another thing.
    std::fs::create_dir(folder.0.join("auth")).unwrap();
    assert_eq!(process.reload().went, words(&["API key orders"]));
    assert!(process.sends(&own));
}

#[test]
fn whatever_is_touched_shows_and_nothing_else_does() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let elsewhere = Folder::with(&[("jwt", SECRET)]);
    let secret = elsewhere.0.join("jwt").display().to_string();
    let folder = Folder::with(&[("README.md", "")]);
    std::fs::create_dir(folder.0.join("..1")).unwrap();
    folder.write("..1/issuers.toml", &ISSUER.replace("jwt", &secret));
    symlink("..1", folder.0.join("..data")).unwrap();
    symlink("..data/issuers.toml", folder.0.join("issuers.toml")).unwrap();
    let auth = auth(&folder);
    let mut before = Stamp::of(&BTreeSet::new(), &auth, &Reading::of(&auth));
    let mut touched = || {
        // Times of files are those of the kernel's last tick.
        std::thread::sleep(Duration::from_millis(20));
        let now = Stamp::of(&BTreeSet::new(), &auth, &Reading::of(&auth));
        std::mem::replace(&mut before, now.clone()) != now
    };
    assert!(!touched(), "nothing");
    folder.write("README.md", "what is not read");
    elsewhere.write("other", "what is not named");
    assert!(!touched(), "nothing that matters");
    elsewhere.write("jwt", &SECRET.to_uppercase());
    assert!(touched(), "a secret of the same length, in place");
    let path = folder.0.join("..1/issuers.toml");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(touched(), "who may read it");
    std::fs::create_dir(folder.0.join("..2")).unwrap();
    std::fs::copy(&path, folder.0.join("..2/issuers.toml")).unwrap();
    symlink("..2", folder.0.join("..next")).unwrap();
    std::fs::rename(folder.0.join("..next"), folder.0.join("..data")).unwrap();
    assert!(touched(), "the link behind the links");
    folder.write("more.toml", "");
    assert!(touched(), "one more");
    std::fs::remove_file(folder.0.join("more.toml")).unwrap();
    assert!(touched(), "one less");
    std::fs::remove_file(elsewhere.0.join("jwt")).unwrap();
    assert!(touched(), "a secret that is gone");
    assert!(!touched(), "nothing more");
}

#[test]
fn a_pipe_is_not_waited_for_and_a_large_file_not_read() {
    let folder = Folder::with(&[("large.toml", &"#".repeat((1 << 20) + 1))]);
    let made = std::process::Command::new("mkfifo")
        .arg(folder.0.join("pipe.toml"))
        .status();
    assert!(made.unwrap().success());
    let errors = dir_errors(&folder.0);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert_error(&errors, &["auth.dir: is larger than 1 MiB", "large.toml"]);
    assert_error(&errors, &["auth.dir: is not a file", "pipe.toml"]);
}
