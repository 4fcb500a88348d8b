//! Cuts a host's bytes into frames. Keeps at most one incomplete frame, and refuses a header before it allocates for it.

const frame = @import("frame.zig");
const heap = @import("heap.zig");

pub const Step = struct {
    used: usize,
    /// With `payload` a complete frame, valid until `done`; null: more bytes are needed.
    header: ?frame.Header = null,
    payload: []const u8 = &.{},
};

pub const Decoder = struct {
    header: [frame.header_length]u8 = undefined,
    payload: []u8 = &.{},
    /// Bytes of header and payload so far.
    length: usize = 0,
    complete: bool = false,

    /// Use the beginning of `bytes`, which are not empty.
    pub fn next(decoder: *Decoder, bytes: []const u8) error{ Malformed, OutOfMemory }!Step {
        if (decoder.length == 0 and bytes.len >= frame.header_length) {
            const header: frame.Header = try .decode(bytes[0..frame.header_length]);
            const total = frame.header_length + header.length;
            // Mostly the frame is all there, and needs no copy.
            if (bytes.len >= total) return .{ .used = total, .header = header, .payload = bytes[frame.header_length..total] };
        }
        return decoder.collect(bytes);
    }

    fn collect(decoder: *Decoder, bytes: []const u8) error{ Malformed, OutOfMemory }!Step {
        var used: usize = 0;
        if (decoder.length < frame.header_length) {
            used = @min(frame.header_length - decoder.length, bytes.len);
            @memcpy(decoder.header[decoder.length..][0..used], bytes[0..used]);
            decoder.length += used;
            if (decoder.length < frame.header_length) return .{ .used = used };
        }
        const header: frame.Header = try .decode(&decoder.header);
        if (decoder.payload.len == 0 and header.length > 0) decoder.payload = try heap.allocator.alloc(u8, header.length);
        const position = decoder.length - frame.header_length;
        const more = @min(header.length - position, bytes.len - used);
        @memcpy(decoder.payload[position..][0..more], bytes[used..][0..more]);
        decoder.length += more;
        if (position + more < header.length) return .{ .used = used + more };
        decoder.complete = true;
        return .{ .used = used + more, .header = header, .payload = decoder.payload };
    }

    /// The frame that `next` returned has been handled.
    pub fn done(decoder: *Decoder) void {
        if (decoder.complete) decoder.release();
    }

    pub fn release(decoder: *Decoder) void {
        if (decoder.payload.len > 0) heap.allocator.free(decoder.payload);
        decoder.* = .{};
    }
};
