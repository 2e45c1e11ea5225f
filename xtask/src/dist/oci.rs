//! An OCI image of one static binary: no system below it, and no root.
//!
//! ```text
//! oci-layout, index.json            what the archive is, and which image is in it
//! blobs/sha256/<manifest>           names the configuration and the one layer
//! blobs/sha256/<configuration>      user, command, ports, volume
//! blobs/sha256/<layer>              a gzipped tar: /watchkeeper, /etc/passwd, /data
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::hex;

/// Whoever runs in it; nobody on any host.
const USER: u64 = 65_532;

/// Writes the archive. The same binary gives the same bytes: no time is in it.
pub(super) fn write(binary: &Path, archive: &Path) -> Result<()> {
    let layer = layer(&fs::read(binary)?)?;
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(&layer)?;
    let packed = packed.finish()?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": ["/watchkeeper"],
            "Cmd": ["up", "--data", "/data", "--client", "0.0.0.0:2181", "--web", "0.0.0.0:7181"],
            "ExposedPorts": { "2181/tcp": {}, "7181/tcp": {} },
            "Volumes": { "/data": {} },
            "WorkingDir": "/data",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))] },
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let mut named = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "watchkeeper" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named],
    });
    let file = File::create(archive).with_context(|| format!("create {}", archive.display()))?;
    let mut tar = tar::Builder::new(file);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    put(&mut tar, "index.json", &serde_json::to_vec(&index)?, 0o644)?;
    for blob in [&config, &packed, &manifest] {
        put(&mut tar, &format!("blobs/sha256/{}", hex(blob)), blob, 0o644)?;
    }
    tar.finish()?;
    Ok(())
}

fn described(kind: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{}", hex(blob)), "size": blob.len() })
}

fn layer(binary: &[u8]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let passwd = format!("watchkeeper:x:{USER}:{USER}::/data:/sbin/nologin\n");
    put(&mut tar, "etc/passwd", passwd.as_bytes(), 0o644)?;
    let mut data = header(0, 0o755);
    data.set_entry_type(tar::EntryType::Directory);
    data.set_uid(USER);
    data.set_gid(USER);
    tar.append_data(&mut data, "data/", &[][..])?;
    put(&mut tar, "watchkeeper", binary, 0o755)?;
    Ok(tar.into_inner()?)
}

fn header(len: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

fn put<W: std::io::Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<()> {
    tar.append_data(&mut header(bytes.len(), mode), name, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_digest_names_a_blob_and_the_same_binary_gives_the_same_image() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("watchkeeper");
        fs::write(&binary, b"\x7fELF and so on").unwrap();
        let archives = ["a.tar", "b.tar"].map(|name| dir.path().join(name));
        for archive in &archives {
            write(&binary, archive).unwrap();
        }
        assert_eq!(fs::read(&archives[0]).unwrap(), fs::read(&archives[1]).unwrap());
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(File::open(&archives[0]).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        let blob = |described: &Value| {
            let digest = described["digest"].as_str().unwrap().replace(':', "/");
            let bytes = &files[&format!("blobs/{digest}")];
            assert_eq!(described["size"], bytes.len());
            assert!(digest.ends_with(&hex(bytes)));
            bytes.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let mut layer = Vec::new();
        let packed = blob(&manifest["layers"][0]);
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
        assert_eq!(config["config"]["User"], "65532:65532");
        let mut names = Vec::new();
        for entry in tar::Archive::new(&layer[..]).entries().unwrap() {
            names.push(entry.unwrap().path().unwrap().display().to_string());
        }
        assert_eq!(names, ["etc/passwd", "data/", "watchkeeper"]);
    }
}
