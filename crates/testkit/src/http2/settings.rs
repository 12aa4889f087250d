//! What a peer's SETTINGS say (RFC 9113 §6.5.2, RFC 8441 §3).

use super::frames::setting;
use super::hpack::TABLE_SIZE;

/// The initial size of windows (RFC 9113 §6.9.2), and the maximum (§6.9.1).
pub const WINDOW: i64 = 65_535;
pub const WINDOW_MAX: i64 = 0x7fff_ffff;

/// The maximum size of frames until a setting changes it, and the largest that one can state.
pub const FRAME_MAX: usize = 16_384;
const FRAME_MAX_MAX: usize = 16_777_215;

/// What the peer's settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub window: i64,
    pub frame_bytes_max: usize,
    pub streams_max: Option<u32>,
    pub fields_bytes_max: Option<u32>,
    pub table_bytes_max: usize,
    /// Whether extended CONNECT is allowed (RFC 8441 §3).
    pub extended_connect: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            window: WINDOW,
            frame_bytes_max: FRAME_MAX,
            streams_max: None,
            fields_bytes_max: None,
            table_bytes_max: TABLE_SIZE,
            extended_connect: false,
        }
    }
}

impl Settings {
    /// Takes the entries of one frame. `is_server` says on which side they arrive.
    ///
    /// # Errors
    /// A sentence on the value that is wrong.
    pub fn take(&mut self, entries: &[(u16, u32)], is_server: bool) -> Result<(), String> {
        for &(id, value) in entries {
            match id {
                setting::HEADER_TABLE_SIZE => self.table_bytes_max = value as usize,
                setting::ENABLE_PUSH if value > 1 || !is_server && value == 1 => {
                    return Err("ENABLE_PUSH is wrong".into());
                }
                setting::MAX_CONCURRENT_STREAMS => self.streams_max = Some(value),
                setting::INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                    return Err("INITIAL_WINDOW_SIZE is too large".into());
                }
                setting::INITIAL_WINDOW_SIZE => self.window = value.into(),
                setting::MAX_FRAME_SIZE if !(FRAME_MAX..=FRAME_MAX_MAX).contains(&(value as usize)) => {
                    return Err("MAX_FRAME_SIZE is wrong".into());
                }
                setting::MAX_FRAME_SIZE => self.frame_bytes_max = value as usize,
                setting::MAX_HEADER_LIST_SIZE => self.fields_bytes_max = Some(value),
                setting::ENABLE_CONNECT_PROTOCOL if value > 1 || value == 0 && self.extended_connect => {
                    return Err("ENABLE_CONNECT_PROTOCOL is wrong".into()); // RFC 8441 §3
                }
                setting::ENABLE_CONNECT_PROTOCOL => self.extended_connect = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}
