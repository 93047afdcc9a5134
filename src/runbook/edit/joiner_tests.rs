use super::*;

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 10, 33, n])
}

fn who() -> Who {
    Who {
        source: ("master01".into(), "master01.example.com".into(), ip(37)),
        joiner: ("master04".into(), "master04.example.com".into(), ip(40)),
        originals: vec![("master01".into(), ip(37)), ("master02".into(), ip(38)), ("master03".into(), ip(39))],
        all: vec![ip(37), ip(38), ip(39), ip(40), ip(41)],
    }
}

fn one_master() -> Who {
    Who { originals: vec![("master01".into(), ip(37))], all: vec![ip(37), ip(40), ip(41)], ..who() }
}

const THREE: &str = "https://10.10.33.37:2379,https://10.10.33.38:2379,https://10.10.33.39:2379";
const FIVE: &str = "https://10.10.33.37:2379,https://10.10.33.38:2379,https://10.10.33.39:2379,https://10.10.33.40:2379,https://10.10.33.41:2379";

#[test]
fn an_apiservers_manifest_gets_its_own_address_and_every_member() {
    let text = format!(
        "{{\"spec\": {{\"containers\": [{{\"command\": [\n\t\"kube-apiserver\",\n\t  \"--advertise-address=10.10.33.37\",\n  \"--apiserver-count=3\",\n \"--bind-address=0.0.0.0\",\n  \"--etcd-servers={THREE}\"]}}]}}}}"
    );
    let out = structured_for_joiner(&text, &who()).unwrap();
    let want =
        text.replace("address=10.10.33.37", "address=10.10.33.40").replace("count=3", "count=5").replace(THREE, FIVE);
    assert_eq!(out, want);
    assert_eq!(structured_for_joiner(&out, &who()).unwrap(), out, "again changes nothing");
    let left = mentions(&out, &who());
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].explained, Some("a list of all masters"));
}

#[test]
fn clients_point_at_their_own_apiserver_in_the_form_they_have() {
    let text = "# of master01\nclusters:\n- cluster:\n    server: 10.10.33.37\n- cluster:\n    server: 'https://10.10.33.37:6443'\ncontexts:\n- name: admin@master01\n";
    let out = structured_for_joiner(text, &who()).unwrap();
    assert_eq!(out, text.replace("10.10.33.37", "10.10.33.40"));
    let left = mentions(&out, &who());
    assert_eq!(left.iter().map(|m| (m.line, m.explained.is_some())).collect::<Vec<_>>(), [(1, true), (8, false)]);
}

#[test]
fn calicos_endpoints_list_every_member_and_comments_stay() {
    let text = format!(
        "# was https://10.10.33.37:2379 once\nkind: ConfigMap\ndata:\n  etcd_endpoints: \"{THREE}\" # all of them\n---\nkind: Secret\ndata:\n  etcd-key: c2VjcmV0IGtleQ==\n"
    );
    let out = structured_for_joiner(&text, &who()).unwrap();
    assert_eq!(out, text.replace(THREE, FIVE));
    assert!(masked(&out).contains("etcd-key: (secret, 16 characters)") && masked(&out).contains(FIVE));
}

#[test]
fn with_one_master_a_list_of_members_still_grows_and_a_server_is_its_own() {
    let text = "spec:\n  containers:\n  - args: [--etcd-servers=https://10.10.33.37:2379, --master=https://10.10.33.37:6443]\n";
    let out = structured_for_joiner(text, &one_master()).unwrap();
    let all = "\"--etcd-servers=https://10.10.33.37:2379,https://10.10.33.40:2379,https://10.10.33.41:2379\"";
    let want = text.replace("--etcd-servers=https://10.10.33.37:2379", all).replace("37:6443", "40:6443");
    assert_eq!(out, want, "a list with commas inside of [ ] needs quotes");
}

#[test]
fn an_etcd_of_the_loopback_stays_its_own() {
    let text = "spec:\n  containers:\n  - args: [--etcd-servers=https://127.0.0.1:2379]\n";
    assert_eq!(structured_for_joiner(text, &who()).unwrap(), text);
}

#[test]
fn kubelets_variables_get_name_and_address() {
    let text = "# --node-ip=10.10.33.37\nKUBELET_ADDRESS=\"--address=0.0.0.0\"\nKUBELET_ARGS=\"--hostname-override=master01.example.com --node-ip 10.10.33.37 \\\n  --v=2\"\nNODE_IP=10.10.33.37\n";
    assert!(is_environment(text) && !is_environment("clusters:\n- a\n") && !is_environment(""));
    let out = plain_for_joiner(text, &who());
    let want = text
        .replace("override=master01", "override=master04")
        .replace("node-ip 10.10.33.37", "node-ip 10.10.33.40")
        .replace("IP=10.10.33.37", "IP=10.10.33.40");
    assert_eq!(out, want);
    assert_eq!(mentions(&out, &who()).iter().filter(|m| m.explained.is_none()).count(), 0);
}

#[test]
fn a_list_that_lacks_a_master_is_not_guessed_at() {
    let text = "upstream: [\"10.10.33.37:1,10.10.33.38:1\"]\n";
    assert_eq!(structured_for_joiner(text, &who()).unwrap(), text);
    assert_eq!(mentions(text, &who())[0].explained, None);
}

#[test]
fn a_list_of_one_line_each_is_explained_and_a_longer_address_is_another() {
    let text = "IP.4 = 10.10.33.37\nIP.5 = 10.10.33.38\nIP.6 = 10.10.33.39\nserver = 10.10.33.37\nother = 10.10.33.370 110.10.33.37 master01-old\n";
    let found: Vec<_> = mentions(text, &who()).iter().map(|m| (m.line, m.explained.is_some())).collect();
    assert_eq!(found, [(1, true), (4, false)]);
}

#[test]
fn no_key_or_token_is_shown() {
    let text = "users:\n- user:\n    client-certificate-data: cHVibGlj\n    client-key-data: cHJpdmF0ZQ==\n    token: abcdef.123456\n";
    let shown = masked(text);
    assert!(!shown.contains("cHJpdmF0ZQ") && !shown.contains("abcdef") && shown.contains("cHVibGlj"));
}

#[test]
fn a_list_that_an_earlier_growth_left_short_gets_every_member() {
    let originals = (37..=40).map(|n| (format!("master0{}", n - 36), ip(n))).collect();
    let who = Who { joiner: ("master05".into(), "master05.example.com".into(), ip(41)), originals, ..who() };
    let text = format!("apiVersion: v1\nspec:\n  etcdEndpoints: {THREE}\n");
    assert_eq!(structured_for_joiner(&text, &who).unwrap(), text.replace(THREE, FIVE));
    let elsewhere = text.replace("etcdEndpoints", "peers");
    assert_eq!(structured_for_joiner(&elsewhere, &who).unwrap(), elsewhere, "it is not known what that lists");
}

#[test]
fn a_master_of_now_learns_of_new_members_and_of_nothing_else() {
    let text = format!(
        "{{\"nodename\": \"master01.example.com\", \"host\": \"10.10.33.37\",\n \"etcd_endpoints\": \"{THREE}\"}}"
    );
    let own = who().source;
    let out = with_every_member(&text, &who(), &own).unwrap();
    assert_eq!(out, text.replace(THREE, FIVE));
    assert_eq!(with_every_member(&out, &who(), &own).unwrap(), out, "again changes nothing");
}
