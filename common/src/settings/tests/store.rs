//! The store that `[backend]` names.

use crate::backend::url::StoreUrl;

use super::*;

/// A folder with files; paths of settings are relative to it.
fn load_beside(files: &[(&str, &str)], backend: &str) -> Result<Settings, SettingsErrors> {
    let folder = scratch_folder();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let path = folder.join("carillon.toml");
    std::fs::write(&path, format!("[backend]\n{backend}")).unwrap();
    let loaded = Settings::load(Some(&path), std::iter::empty());
    std::fs::remove_dir_all(&folder).unwrap();
    loaded
}

#[track_caller]
fn mistakes(files: &[(&str, &str)], backend: &str) -> Vec<String> {
    let errors = load_beside(files, backend).unwrap_err().0;
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_log_in_stands_in_the_url_or_beside_it() {
    let password = "p@ss/w?rd#1%2F &:x";
    let folder = scratch_folder();
    std::fs::write(folder.join("password"), format!("{password}\n")).unwrap();
    let path = folder.join("carillon.toml");
    let text = "[backend]\nurl='redis+sentinel://a,b/main'\nusername='ann'\npassword_file='password'\n\
                sentinel_password_file='password'\n";
    std::fs::write(&path, text).unwrap();
    let settings = Settings::load(Some(&path), std::iter::empty()).unwrap();
    let StoreUrl::Redis(url) = &settings.backend.store else {
        panic!("a Redis is named")
    };
    let read = url.credentials.read_password().unwrap();
    assert_eq!(url.credentials.user.as_deref(), Some("ann"));
    assert_eq!(read.as_deref(), Some(password));
    let sentinel = url.sentinel_credentials.read_password().unwrap();
    assert_eq!(sentinel.as_deref(), Some(password));
    assert!(!format!("{settings:?} {url:?} {url}").contains("p@ss"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn two_places_for_a_log_in_are_a_mistake_that_names_both() {
    let password = [("password", "hunter2"), ("url", "redis://ann:hunter2@h")];
    for (given, path) in [
        ("username='ann'", "backend.username"),
        ("password_file='password'", "backend.password_file"),
    ] {
        for (url, named) in [
            ("url='redis://ann:hunter2@h'", "backend.url "),
            ("url='redis://:hunter2@h'", "backend.url "),
            ("url='redis://ann@h'", "backend.url "),
            ("url_file='url'", "backend.url_file "),
        ] {
            let errors = mistakes(&password, &format!("{url}\n{given}"));
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(
                errors[0].starts_with(path) && errors[0].contains(named),
                "{errors:?}"
            );
            assert!(!errors[0].contains("hunter2"), "{errors:?}");
        }
    }
    let url = "url='redis+sentinel://a/main?sentinel_password=hunter2'";
    let errors = mistakes(
        &password,
        &format!("{url}\nsentinel_password_file='password'"),
    );
    assert_error(&errors, &["backend.sentinel_password_file", "backend.url "]);
    // The sentinels' log-in and that of the data servers are two.
    load_beside(&password, &format!("{url}\npassword_file='password'")).unwrap();
}

#[test]
fn what_cannot_be_used_is_a_mistake_of_its_setting() {
    let files = [("empty", "\n"), ("text", "no PEM")];
    for (backend, path, words) in [
        (
            "url='redis+sentinel://127.0.0.1:1'",
            "backend.url",
            "/mymaster",
        ),
        ("url='redis://h:0'", "backend.url", "1 to 65535"),
        ("url='redis+cluster://h/1'", "backend.url", "a cluster"),
        (
            "url='redis://:hun/ter2@h'",
            "backend.url",
            "backend.password_file",
        ),
        (
            "url='redis://h'\npassword_file='gone'",
            "backend.password_file",
            "cannot be read",
        ),
        (
            "url='redis://h'\npassword_file='empty'",
            "backend.password_file",
            "is empty",
        ),
        ("username='ann'", "backend.username", "memory://"),
        ("key_file='text'", "backend.key_file", "memory://"),
        (
            "url='redis://h'\nsentinel_username='s'",
            "backend.sentinel_username",
            "no sentinel",
        ),
        (
            "url='redis://h'\nca_file='text'",
            "backend.ca_file",
            "rediss",
        ),
        (
            "url='rediss://h'\nca_file='text'",
            "backend.ca_file",
            "no certificate",
        ),
        (
            "url='rediss://h'\nca_file='gone'",
            "backend.ca_file",
            "cannot be read",
        ),
        (
            "url='rediss://h?ca_file=/gone'",
            "backend.url",
            "/gone cannot be read",
        ),
        (
            "url='rediss://h?ca_file=/gone'\nca_file='text'",
            "backend.ca_file",
            "keep one",
        ),
        (
            "url='rediss://h'\ncert_file='text'",
            "backend.cert_file",
            "backend.key_file",
        ),
        (
            "url='rediss://h'\nkey_file='text'",
            "backend.key_file",
            "backend.cert_file",
        ),
        (
            "url='rediss://h'\ncert_file='text'\nkey_file='text'",
            "backend.key_file",
            "private key",
        ),
    ] {
        let errors = mistakes(&files, backend);
        assert_error(&errors, &[&format!("{path}: "), words]);
        assert!(!errors.concat().contains("ter2"), "{errors:?}");
    }
}
