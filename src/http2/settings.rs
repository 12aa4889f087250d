//! The peer's settings (RFC 9113 §6.5).
//!
//! It knows no other frame. Its invariant: a setting is in force before it is acknowledged.

use super::connection::{Connection, Phase, Step, grow};
use super::frame::{ErrorCode, FRAME_BYTES, FrameHead, WINDOW_MAX, flag, kind, push_frame, setting};
use super::receive::Found;

impl<R> Connection<R> {
    #[cold]
    pub(super) fn settings<'i>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        if head.stream != 0 {
            return Err((ErrorCode::PROTOCOL_ERROR, "SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            if !payload.is_empty() {
                return Err((ErrorCode::FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with settings"));
            }
            self.count(now_ms, out);
            return Ok(Step::Done { consumed });
        }
        if payload.len() % 6 != 0 {
            return Err((ErrorCode::FRAME_SIZE_ERROR, "a setting has six bytes"));
        }
        self.phase = Phase::Open;
        let mut windows = false;
        for setting in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            windows |= id == setting::INITIAL_WINDOW_SIZE;
            self.set(id, value)?;
        }
        push_frame(out, kind::SETTINGS, flag::ACK, 0, &[]);
        self.count(now_ms, out);
        Ok(if windows { Step::Windows { consumed } } else { Step::Done { consumed } })
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), (ErrorCode, &'static str)> {
        match id {
            setting::HEADER_TABLE_SIZE => self.table_update_due |= value < 4_096,
            setting::ENABLE_PUSH | setting::ENABLE_CONNECT_PROTOCOL | setting::NO_RFC7540_PRIORITIES
                if value > 1 =>
            {
                return Err((ErrorCode::PROTOCOL_ERROR, "a setting that is neither 0 nor 1"));
            }
            setting::INITIAL_WINDOW_SIZE => {
                if i64::from(value) > WINDOW_MAX {
                    return Err((ErrorCode::FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large"));
                }
                let more = i64::from(value) - self.peer_window;
                self.peer_window = i64::from(value);
                for stream in self.streams.iter_mut() {
                    grow(&mut stream.send_window, more)
                        .map_err(|code| (code, "INITIAL_WINDOW_SIZE makes a window too large"))?;
                }
            }
            setting::MAX_FRAME_SIZE if !(FRAME_BYTES as u32..=(1 << 24) - 1).contains(&value) => {
                return Err((ErrorCode::PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range"));
            }
            _ => {}
        }
        Ok(())
    }
}
