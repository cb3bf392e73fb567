//! Cases of each header: what a proxy writes, what a client forges, what is malformed.

use carillon_common::settings::Settings;

use super::*;

const PROXY: &str = "10.0.0.9";
const STRANGER: &str = "198.51.100.7";

/// The address, or what is wrong.
fn found(
    peer: &str,
    header: ForwardedHeader,
    hops: u32,
    lines: &[(HeaderName, &str)],
) -> Result<String, String> {
    let settings = GatewaySettings {
        trusted_hops: hops,
        forwarded_header: header,
        ..Settings::default().gateway
    };
    let mut headers = HeaderMap::new();
    for (name, line) in lines {
        headers.append(name.clone(), line.parse().unwrap());
    }
    let found = client(peer.parse().unwrap(), &headers, &settings);
    found
        .map(|address| address.to_string())
        .map_err(|refusal| refusal.problem.detail.unwrap())
}

/// `Ok`: the address; `Err`: a part of what is said.
type Case<'a> = (&'a [&'a str], u32, Result<&'a str, &'a str>);

#[track_caller]
fn check(header: ForwardedHeader, name: &HeaderName, cases: &[Case<'_>]) {
    for (lines, hops, expected) in cases {
        let named: Vec<_> = lines.iter().map(|line| (name.clone(), *line)).collect();
        let found = found(PROXY, header, *hops, &named);
        match (expected, &found) {
            (Ok(address), Ok(found)) => assert_eq!(found, address, "{lines:?} {hops}"),
            (Err(part), Err(told)) => assert!(told.contains(part), "{lines:?}: {told}"),
            _ => panic!("{lines:?} {hops}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn x_forwarded_for_is_counted_from_the_right() {
    let no_address = Err("something else than an address");
    check(
        ForwardedHeader::XForwardedFor,
        &X_FORWARDED_FOR,
        &[
            (&["6.6.6.6"], 0, Ok(PROXY)),
            (&["6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["1.2.3.4, 6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["1.2.3.4, 6.6.6.6"], 2, Ok("1.2.3.4")),
            (&["1.2.3.4,6.6.6.6,7.7.7.7"], 2, Ok("6.6.6.6")),
            (&["1.2.3.4", "6.6.6.6 , 7.7.7.7"], 2, Ok("6.6.6.6")),
            (&["1.2.3.4", "6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["1.2.3.4"], 2, Ok(PROXY)),
            (&["1.2.3.4"], u32::MAX, Ok(PROXY)),
            (&["forged nonsense, 6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["1.2.3.4,, ,6.6.6.6,"], 2, Ok("1.2.3.4")),
            (&["6.6.6.6:4711"], 1, Ok("6.6.6.6")),
            (&["2001:db8::1"], 1, Ok("2001:db8::1")),
            (&["[2001:db8::1]"], 1, Ok("2001:db8::1")),
            (&["[2001:db8::1]:80"], 1, Ok("2001:db8::1")),
            (&["::ffff:6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["unknown"], 1, Ok(PROXY)),
            (&[], 1, Ok(PROXY)),
            (&[""], 1, Ok(PROXY)),
            (&["6.6.6"], 1, no_address),
            (&["6.6.6.6 7.7.7.7"], 1, no_address),
            (&["06.6.6.6"], 1, no_address),
            (&["6.6.6.6:port"], 1, no_address),
            (&["[6.6.6.6]"], 1, no_address),
            (&["example.com"], 1, no_address),
            (&["1.2.3.4, <script>"], 1, no_address),
        ],
    );
}

#[test]
fn forwarded_is_read_by_the_letter() {
    let no_node = Err("is no node");
    let unquoted = Err("must be within quotes");
    check(
        ForwardedHeader::Forwarded,
        &header::FORWARDED,
        &[
            (&["for=6.6.6.6"], 0, Ok(PROXY)),
            (&["for=6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["For=6.6.6.6;Proto=https;By=10.0.0.1"], 1, Ok("6.6.6.6")),
            (&["proto=https;for=6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["for=1.2.3.4, for=6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["for=1.2.3.4, for=6.6.6.6"], 2, Ok("1.2.3.4")),
            (&["for=1.2.3.4", "for=6.6.6.6"], 2, Ok("1.2.3.4")),
            (&["for=1.2.3.4"], 2, Ok(PROXY)),
            (&[r#"for="6.6.6.6:80""#], 1, Ok("6.6.6.6")),
            (&[r#"for="[2001:db8::1]""#], 1, Ok("2001:db8::1")),
            (&[r#"for="[2001:db8::1]:4711""#], 1, Ok("2001:db8::1")),
            (&[r#"for="[2001:db8::1]:_hidden""#], 1, Ok("2001:db8::1")),
            (&[r#"for="6.6.\6.6""#], 1, Ok("6.6.6.6")),
            (&[r#"host="a, for=1.2.3.4";for=6.6.6.6"#], 1, Ok("6.6.6.6")),
            (&["for=unknown"], 1, Ok(PROXY)),
            (&["for=_gazonk"], 1, Ok(PROXY)),
            (&[r#"for="_gazonk:80""#], 1, Ok(PROXY)),
            (&["proto=https"], 1, Ok(PROXY)),
            (&[", for=6.6.6.6 ,"], 1, Ok("6.6.6.6")),
            (&["for=6.6.6.6;"], 1, Ok("6.6.6.6")),
            (&["for=6.6.6.6; proto=https"], 1, Ok("6.6.6.6")),
            (&["for=6.6.6.6:80"], 1, Err("no comma")),
            (&["for=[2001:db8::1]"], 1, unquoted),
            (&[r#"for="2001:db8::1""#], 1, no_node),
            (&[r#"for="[6.6.6.6]""#], 1, no_node),
            (&[r#"for="6.6.6.6:123456""#], 1, no_node),
            (&["for=example.com"], 1, no_node),
            (&["for=_"], 1, no_node),
            (&[r#"for="""#], 1, no_node),
            (&["for="], 1, unquoted),
            (&["for"], 1, Err("without a value")),
            (&["6.6.6.6"], 1, Err("without a value")),
            (&["for=6.6.6.6;for=7.7.7.7"], 1, Err("two `for`")),
            (&["for=6.6.6.6 for=7.7.7.7"], 1, Err("no comma")),
            // A client's quote that swallows what the proxy adds.
            (&[r#"for="x, for=6.6.6.6"#], 1, Err("does not end")),
        ],
    );
}

#[test]
fn x_real_ip_is_one_address() {
    check(
        ForwardedHeader::XRealIp,
        &X_REAL_IP,
        &[
            (&["6.6.6.6"], 0, Ok(PROXY)),
            (&["6.6.6.6"], 1, Ok("6.6.6.6")),
            (&["2001:db8::1"], 1, Ok("2001:db8::1")),
            (&[], 1, Ok(PROXY)),
            (&["6.6.6.6, 7.7.7.7"], 1, Err("something else")),
            (&[""], 1, Err("something else")),
            (&["6.6.6.6", "7.7.7.7"], 1, Err("more than once")),
        ],
    );
}

#[test]
fn nobody_else_is_believed_and_no_other_header() {
    let lines = [
        (X_FORWARDED_FOR, "1.1.1.1"),
        (header::FORWARDED, "for=2.2.2.2"),
        (X_REAL_IP, "3.3.3.3"),
    ];
    let headers = [
        (ForwardedHeader::XForwardedFor, "1.1.1.1"),
        (ForwardedHeader::Forwarded, "2.2.2.2"),
        (ForwardedHeader::XRealIp, "3.3.3.3"),
    ];
    for (header, address) in headers {
        let by = |peer| found(peer, header, 1, &lines).unwrap();
        assert_eq!(by(PROXY), address);
        assert_eq!(by("::ffff:10.0.0.9"), address);
        assert_eq!(by("::1"), address);
        assert_eq!(by(STRANGER), STRANGER);
        let malformed = lines.clone().map(|(name, _)| (name, "\" , ["));
        assert_eq!(found(STRANGER, header, 1, &malformed).unwrap(), STRANGER);
    }
}
