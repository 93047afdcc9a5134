//! kubeconfigs: the servers of their clusters.

use std::net::IpAddr;

use super::{
    EditError,
    structured::{self, Key, Path},
};

/// The servers, a cluster each, in the file's order and the form they have there.
///
/// # Errors
/// The text is neither JSON nor YAML.
pub fn servers(text: &str) -> Result<Vec<String>, EditError> {
    Ok(places(text)?.into_iter().map(|(_, server)| server).collect())
}

/// The same file with every server at `from` moved to `to`. Whether there is a scheme or a port stays as it is, and so
/// does everything else.
///
/// # Errors
/// As [`servers`], or a server's place can't be told apart in the text.
pub fn with_host(text: &str, from: IpAddr, to: IpAddr) -> Result<String, EditError> {
    let mut out = text.to_owned();
    for (path, server) in places(text)? {
        let moved = structured::with_host(&server, from, to);
        out = structured::replace(&out, &path, &(0..server.len()), &moved, "server")?;
    }
    Ok(out)
}

fn places(text: &str) -> Result<Vec<(Path, String)>, EditError> {
    let docs = structured::parse(text)?;
    let is_server = |path: &Path| match path.as_slice() {
        [Key::Index(_), Key::Name(list), Key::Index(_), Key::Name(cluster), Key::Name(server)] => {
            list == "clusters" && cluster == "cluster" && server == "server"
        }
        _ => false,
    };
    Ok(structured::strings(&docs).into_iter().filter(|(path, _)| is_server(path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# server: 10.10.33.37 until 2019\napiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: 10.10.33.37\n    certificate-authority: /etc/kubernetes/pki/ca.pem\n  name: kubernetes\n- name: local\n  cluster:\n    server: \"https://10.10.33.37:6443\"   # own apiserver\nusers:\n- name: admin\n";

    fn moved(text: &str) -> Result<String, EditError> {
        with_host(text, "10.10.33.37".parse().unwrap(), "10.10.33.40".parse().unwrap())
    }

    #[test]
    fn each_server_keeps_its_own_form() {
        assert_eq!(servers(TWO).unwrap(), ["10.10.33.37", "https://10.10.33.37:6443"]);
        let out = moved(TWO).unwrap();
        assert_eq!(
            out,
            TWO.replace("    server: 10.10.33.37", "    server: 10.10.33.40")
                .replace("\"https://10.10.33.37", "\"https://10.10.33.40")
        );
        assert_eq!(moved(&out).unwrap(), out, "a second time changes nothing");
    }

    #[test]
    fn two_clusters_with_the_same_server_are_both_moved() {
        let text = TWO.replace("\"https://10.10.33.37:6443\"", "10.10.33.37");
        assert_eq!(servers(&moved(&text).unwrap()).unwrap(), ["10.10.33.40", "10.10.33.40"]);
    }

    #[test]
    fn other_servers_stay_and_json_works_too() {
        let text = TWO.replace("10.10.33.37", "10.10.33.99");
        assert_eq!(moved(&text).unwrap(), text);
        let json = "{\"clusters\":[{\"cluster\":{\"server\":\"https://10.10.33.37:6443\"},\"name\":\"k\"}]}";
        assert_eq!(moved(json).unwrap(), json.replace("33.37", "33.40"));
        assert!(matches!(servers("no config"), Err(EditError::Unreadable(_))));
    }
}
