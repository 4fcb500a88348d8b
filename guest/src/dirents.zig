//! The names in a directory, one at a time.

const std = @import("std");
const sys = @import("sys.zig");
const linux = sys.linux;

pub const Item = struct {
    name: [:0]const u8,
    /// The kind as the directory has it; zero when it does not know.
    kind: u8,
};

pub const Reader = struct {
    fd: i32,
    start: usize = 0,
    end: usize = 0,
    buffer: [4096]u8 align(8) = undefined,

    /// The next name but `.` and `..`. It is valid until the call after.
    pub fn next(reader: *Reader) sys.Error!?Item {
        while (true) {
            if (reader.start == reader.end) {
                reader.start = 0;
                reader.end = try sys.check(linux.getdents64(reader.fd, &reader.buffer, reader.buffer.len));
                if (reader.end == 0) return null;
            }
            const record = reader.buffer[reader.start..reader.end];
            const length = std.mem.readInt(u16, record[@offsetOf(linux.dirent64, "reclen")..][0..2], .native);
            const kind = record[@offsetOf(linux.dirent64, "type")];
            const name: [*:0]const u8 = @ptrCast(record[@offsetOf(linux.dirent64, "name")..].ptr);
            reader.start += length;
            const text = std.mem.span(name);
            if (std.mem.eql(u8, text, ".") or std.mem.eql(u8, text, "..")) continue;
            return .{ .name = text, .kind = kind };
        }
    }

    /// Begin anew: the directory has changed.
    pub fn rewind(reader: *Reader) sys.Error!void {
        _ = try sys.check(@intCast(linux.lseek(reader.fd, 0, linux.SEEK.SET)));
        reader.start = 0;
        reader.end = 0;
    }
};
