//! OS strings: bytes that are text most of the time. In JSON they are a string; bytes that are not valid UTF-8 are U+0000
//! and base64.

const std = @import("std");
const json = @import("json.zig");
const Allocator = std.mem.Allocator;
const Buffer = @import("buffer.zig").Buffer;

const base64 = std.base64.standard;

pub fn append(buffer: *Buffer, value: []const u8) void {
    if (std.unicode.utf8ValidateSlice(value) and std.mem.findScalar(u8, value, 0) == null) return json.string(buffer, value);
    buffer.append("\"\\u0000");
    const length = base64.Encoder.calcSize(value.len);
    const space = buffer.room(length) orelse return;
    _ = base64.Encoder.encode(space[0..length], value);
    buffer.commit(length);
    buffer.append("\"");
}

/// The bytes that a JSON string stands for, or null if it stands for none. They never hold a zero byte.
pub fn decode(arena: Allocator, text: []const u8) error{OutOfMemory}!?[:0]const u8 {
    if (text.len == 0 or text[0] != 0) {
        if (std.mem.findScalar(u8, text, 0) != null) return null;
        return try arena.dupeSentinel(u8, text, 0);
    }
    const length = base64.Decoder.calcSizeForSlice(text[1..]) catch return null;
    const bytes = try arena.allocSentinel(u8, length, 0);
    base64.Decoder.decode(bytes, text[1..]) catch return null;
    if (std.mem.findScalar(u8, bytes, 0) != null) return null;
    return bytes;
}
