use super::*;

#[test]
fn shown_without_secrets() {
    let cases = [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://:s3cret@h:7000/2", "redis://:***@h:7000/2"),
        ("redis://ann@h", "redis://ann@h:6379"),
        (
            "rediss://ann:s3cret@[::1]:6380",
            "rediss://ann:***@[::1]:6380",
        ),
        (
            "redis+sentinel://u:s3cret@a,b:1,[fe80::1]/main/3?sentinel_password=s3cret",
            "redis+sentinel://u:***@a:26379,b:1,[fe80::1]:26379/main/3",
        ),
        (
            "rediss+cluster://a:1,b:2/0?ca_file=/ca.pem",
            "rediss+cluster://a:1,b:2",
        ),
    ];
    for (text, shown) in cases {
        let url = RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("s3cret"), "{text}");
    }
}

#[test]
fn credentials_are_percent_decoded() {
    let url =
        RedisUrl::parse("redis+sentinel://a%40b:p%2F%3a%C3%A9@h/m?sentinel_username=s%26").unwrap();
    assert_eq!(url.credentials.user.as_deref(), Some("a@b"));
    assert_eq!(url.credentials.password.as_deref(), Some("p/:é"));
    assert_eq!(url.sentinel_credentials.user.as_deref(), Some("s&"));
}

#[test]
fn a_raw_password_is_refused_with_the_way_out_and_never_shown() {
    for raw in [
        "hun@ter2",
        "hun/ter2",
        "hun?ter2",
        "hun#ter2",
        "hun&ter2",
        "hun ter2",
        "hunter2%",
        "%hunter2",
        "h?u#n/t@er2",
        "hun?ter2&x",
    ] {
        for url in [
            format!("redis://:{raw}@h:6379"),
            format!("rediss://ann:{raw}@h:6379/2"),
            format!("redis+sentinel://ann:{raw}@a,b/main"),
            format!("redis+cluster://{raw}:x@a:1,b:2"),
        ] {
            let error = StoreUrl::parse(&url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("backend.password_file"), "{url}: {text}");
            for part in ["hun", "ter2", "hunter2"] {
                assert!(!text.contains(part), "{url}: {text}");
            }
        }
    }
    for raw in ["hun&ter2", "hun&ter2=x"] {
        let url = format!("redis+sentinel://a/main?sentinel_password={raw}");
        let text = StoreUrl::parse(&url).unwrap_err().to_string();
        assert!(text.contains("%26") && !text.contains("ter2"), "{text}");
    }
    // What is allowed within user and password.
    let url = RedisUrl::parse("redis://ann:p:a!$'()*+,;=~_.-@h").unwrap();
    assert_eq!(
        url.credentials.password.as_deref(),
        Some("p:a!$'()*+,;=~_.-")
    );
}

#[test]
fn a_store_is_in_memory_or_redis() {
    assert_eq!(StoreUrl::parse(" memory://\n"), Ok(StoreUrl::Memory));
    for wrong in ["memory://x", "memory:///"] {
        assert_eq!(StoreUrl::parse(wrong), Err(UrlError::Memory));
    }
    assert_eq!(
        StoreUrl::parse("memory:"),
        Err(UrlError::Scheme(String::new()))
    );
    assert!(!StoreUrl::parse("redis://h").unwrap().is_memory());
}

#[test]
fn what_is_no_scheme_may_be_a_secret() {
    let text = UrlError::Scheme("Hunter2".into()).to_string();
    assert!(
        text.contains("is not a URL") && !text.contains("Hunter2"),
        "{text}"
    );
    let text = UrlError::Scheme("http".into()).to_string();
    assert!(text.contains("`http://`"), "{text}");
}

#[test]
fn wrong_urls_name_the_remedy() {
    let cases = [
        ("http://h", UrlError::Scheme("http".into())),
        ("localhost:6379", UrlError::Scheme(String::new())),
        ("redis://u:p/w@h:1", UrlError::Unescaped),
        ("redis://u:p%2@h", UrlError::Encoding("password")),
        ("redis://%ff@h", UrlError::Encoding("user")),
        ("redis://", UrlError::Host(1)),
        ("redis+cluster://a,,b", UrlError::Host(2)),
        ("redis://h:0", UrlError::Port(1)),
        ("redis://::1:6379", UrlError::Host(1)),
        ("redis://fe80::1", UrlError::Port(1)),
        ("redis://[::1", UrlError::Port(1)),
        ("redis://a,b", UrlError::OneHost("redis")),
        ("redis+sentinel://a,b", UrlError::Service),
        ("redis://h/x", UrlError::Database),
        ("redis+cluster://h/1", UrlError::Database),
        ("redis://h/1/2", UrlError::Path),
        ("redis://h?timeout=1", UrlError::Parameter(1)),
        (
            "redis://h?ca_file=x",
            UrlError::Misplaced("ca_file", "rediss"),
        ),
        (
            "redis://h?sentinel_username=x",
            UrlError::Misplaced("sentinel_username", "+sentinel"),
        ),
        ("rediss://h?insecure=true", UrlError::Insecure),
    ];
    for (text, error) in cases {
        assert_eq!(RedisUrl::parse(text), Err(error), "{text}");
    }
}

#[test]
fn addresses_as_redis_writes_them() {
    let asked = Address {
        host: "asked".into(),
        port: 1,
    };
    let cases = [
        ("10.0.0.1:7000", "10.0.0.1:7000"),
        (":7001", "asked:7001"),
        ("fe80::1:7002", "[fe80::1]:7002"),
        ("h:7003@17003", "h:7003"),
    ];
    for (text, shown) in cases {
        assert_eq!(
            Address::from_redis(text, &asked).unwrap().to_string(),
            shown
        );
    }
    assert_eq!(Address::from_redis("nothing", &asked), None);
}
