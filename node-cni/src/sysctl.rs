//! Settings of a device and of the network namespace, by `/proc/sys/net`.

use std::fs;
use std::io;

/// Why a setting failed.
#[derive(Debug, thiserror::Error)]
#[error("set {key} to {value}: {source}")]
pub struct SysctlError {
    key: String,
    value: &'static str,
    source: io::Error,
}

/// Sets `net/<key>` in the calling thread's network namespace, if it differs.
///
/// A kernel without the key (IPv6 compiled out, say) has nothing to be set: that is no error.
pub fn set(key: &str, value: &'static str) -> Result<(), SysctlError> {
    let path = format!("/proc/sys/net/{key}");
    let result = match fs::read_to_string(&path) {
        // Not only to save the write: /proc/sys may be read-only with the right value in it.
        Ok(current) if current.trim() == value => Ok(()),
        Ok(_) => fs::write(&path, value),
        Err(error) => Err(error),
    };
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(SysctlError {
            key: format!("net/{key}"),
            value,
            source,
        }),
        _ => Ok(()),
    }
}

/// The value of `net/<key>`, if there is such a key.
pub fn get(key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/net/{key}")).ok()?;
    Some(text.trim().to_owned())
}

/// The names in `net/<key>`, which is a folder.
pub fn entries(key: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/sys/net/{key}"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
