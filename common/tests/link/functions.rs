//! Libraries, loaded where they are missing and run as scripts where they are refused.

use std::{borrow::Cow, time::Duration};

use carillon_common::backend::redis::functions::{Functions, Library};
use carillon_common::backend::redis::link::{Durability, Link};

use crate::servers::Server;
use crate::{key, link};

const LIBRARY: Library = Library {
    name: Cow::Borrowed("carillon_2"),
    source: Cow::Borrowed(
        "#!lua name=carillon_2\n\
             local function add(keys, args)\n\
               return redis.call('INCRBY', keys[1], args[1]) .. '/' .. #keys .. '/' .. #args\n\
             end\n\
             local function fail(keys, args) return redis.error_reply('NOPE ' .. args[1]) end\n\
             redis.register_function('c2_add', add)\n\
             redis.register_function{function_name = 'c2_fail', callback = fail}\n",
    ),
};

async fn add(functions: &Functions, link: &Link, amount: &str) -> String {
    let keys = [key(link, 3, "n"), key(link, 3, "m")];
    functions
        .call(link, 3, "add", &keys, &[amount, "x"], None)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_library_is_loaded() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    let functions = Functions::new(LIBRARY);
    assert_eq!(add(&functions, &link, "2").await, "2/2/2");
    server.command::<()>(&["FUNCTION", "FLUSH"]);
    assert_eq!(add(&functions, &link, "3").await, "5/2/2");
    server.command::<()>(&["FUNCTION", "FLUSH"]);
    let calls = (0..50).map(|_| add(&functions, &link, "1"));
    futures_util::future::join_all(calls).await;
    assert_eq!(add(&functions, &link, "0").await, "55/2/2");
    functions.load_all(&link).await.unwrap();
    assert!(!functions.scripted());

    let no: &[&str] = &[];
    let error = functions
        .call::<()>(&link, 3, "fail", no, &["why"], None)
        .await
        .unwrap_err();
    assert!(error.has_code("NOPE"), "{error}");
    let error = functions
        .call::<()>(&link, 3, "none", no, no, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_functions_are_refused_scripts_do() {
    let server = Server::start(&[]);
    server.command::<()>(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw",
        "+@all",
        "-function",
        "-fcall",
        "~*",
        "&*",
    ]);
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    let functions = Functions::new(LIBRARY);
    assert_eq!(add(&functions, &link, "2").await, "2/2/2");
    assert!(functions.scripted());
    server.command::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(add(&functions, &link, "3").await, "5/2/2");
    assert_eq!(server.count("eval"), 2, "the rest goes by hash");
    assert_eq!(add(&functions, &link, "1").await, "6/2/2");
    assert_eq!(server.count("eval"), 2);
    let no: &[&str] = &[];
    let error = functions
        .call::<()>(&link, 3, "fail", no, &["why"], None)
        .await
        .unwrap_err();
    assert!(error.has_code("NOPE"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_load_uses_what_is_loaded() {
    let server = Server::start(&[]);
    Functions::new(LIBRARY)
        .load_all(&link(&server.url()).await)
        .await
        .unwrap();
    server.command::<()>(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw",
        "+@all",
        "-function",
        "~*",
        "&*",
    ]);
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    let functions = Functions::new(LIBRARY);
    assert_eq!(add(&functions, &link, "2").await, "2/2/2");
    assert!(!functions.scripted());
    server.command::<()>(&["FUNCTION", "FLUSH"]);
    assert_eq!(add(&functions, &link, "2").await, "4/2/2");
    assert!(functions.scripted());
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_calls_load_the_library_too() {
    let primary = Server::start(&[]);
    let _replica = Server::replica_of(&primary);
    let link = link(&primary.url()).await;
    let functions = Functions::new(LIBRARY);
    let durable = Some(Durability {
        replicas: 1,
        timeout: Duration::from_secs(10),
    });
    let keys = [key(&link, 3, "n")];
    let answer: String = functions
        .call(&link, 3, "add", &keys, &["7"], durable)
        .await
        .unwrap();
    assert_eq!(answer, "7/1/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_pruned() {
    let server = Server::start(&[]);
    let link = link(&server.url()).await;
    for name in ["carillon_1", "carillon_3", "other_1"] {
        let source =
            format!("#!lua name={name}\nredis.register_function('{name}', function() end)");
        server.command::<()>(&["FUNCTION", "LOAD", &source]);
    }
    let functions = Functions::new(LIBRARY);
    functions.load_all(&link).await.unwrap();
    let pruned: Vec<String> = functions
        .prune(&link)
        .await
        .unwrap()
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(pruned, ["carillon_1"]);
    let mut left = functions.list(&link).await.unwrap().remove(0).1;
    left.sort();
    assert_eq!(left, ["carillon_2", "carillon_3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_in_use_compiles_as_a_script() {
    let server = Server::start(&[]);
    server.command::<()>(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw",
        "+@all",
        "-function",
        "-fcall",
        "~*",
        "&*",
    ]);
    let link = link(&format!("redis://app:pw@127.0.0.1:{}", server.port)).await;
    let functions = Functions::new(carillon_common::backend::redis::library());
    let no: &[&str] = &[];
    let error = functions
        .call::<()>(&link, 3, "none", no, no, None)
        .await
        .unwrap_err();
    assert!(functions.scripted());
    assert!(error.to_string().contains("Function not found"), "{error}");
}
