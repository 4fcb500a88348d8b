//! The tar format: header blocks, numbers in them, and pax records.

const std = @import("std");
const Buffer = @import("buffer.zig").Buffer;

pub const block = 512;
/// Longest name or link target in a header of its own.
pub const short_name = 100;

pub const Header = extern struct {
    name: [100]u8 = @splat(0),
    mode: [8]u8 = @splat(0),
    uid: [8]u8 = @splat(0),
    gid: [8]u8 = @splat(0),
    size: [12]u8 = @splat(0),
    mtime: [12]u8 = @splat(0),
    checksum: [8]u8 = @splat(' '),
    kind: u8 = '0',
    link: [100]u8 = @splat(0),
    magic: [6]u8 = "ustar\x00".*,
    version: [2]u8 = "00".*,
    user: [32]u8 = @splat(0),
    group: [32]u8 = @splat(0),
    major: [8]u8 = @splat(0),
    minor: [8]u8 = @splat(0),
    prefix: [155]u8 = @splat(0),
    rest: [12]u8 = @splat(0),

    pub fn seal(header: *Header) void {
        header.checksum = @splat(' ');
        putOctal(header.checksum[0..7], header.sum());
    }

    pub fn isSealed(header: *const Header) bool {
        var copy = header.*;
        copy.checksum = @splat(' ');
        return number(&header.checksum) == copy.sum();
    }

    fn sum(header: *const Header) u64 {
        var total: u64 = 0;
        for (std.mem.asBytes(header)) |byte| total += byte;
        return total;
    }
};

comptime {
    std.debug.assert(@sizeOf(Header) == block);
}

/// Octal digits and a zero byte. What does not fit must be said in a pax record; here it is then 0.
pub fn putOctal(field: []u8, value: u64) void {
    var rest = value;
    var position = field.len - 1;
    field[position] = 0;
    while (position > 0) {
        position -= 1;
        field[position] = '0' + @as(u8, @intCast(rest & 7));
        rest >>= 3;
    }
    if (rest != 0) @memset(field[0 .. field.len - 1], '0');
}

pub fn fitsOctal(field_length: usize, value: u64) bool {
    const bits: u7 = @intCast(3 * (field_length - 1));
    return bits >= 64 or value >> @intCast(bits) == 0;
}

/// Octal digits among blanks, or GNU's binary numbers. Null: neither.
pub fn number(field: []const u8) ?u64 {
    if (field[0] & 0x80 != 0) {
        var value: u64 = field[0] & 0x7f;
        for (field[1..]) |byte| {
            if (value >> 56 != 0) return null;
            value = value << 8 | byte;
        }
        return value;
    }
    const digits = std.mem.trim(u8, text(field), " ");
    if (digits.len == 0) return 0;
    return std.fmt.parseInt(u64, digits, 8) catch null;
}

/// The field up to its first zero byte.
pub fn text(field: []const u8) []const u8 {
    return std.mem.sliceTo(field, 0);
}

pub fn padding(size: u64) u64 {
    return (block - size % block) % block;
}

/// `length key=value\n`; the length counts its own digits.
pub fn putRecord(buffer: *Buffer, key: []const u8, value: []const u8) void {
    const rest = key.len + value.len + 3;
    var length = rest + digitsOf(rest);
    length = rest + digitsOf(length);
    @import("json.zig").integer(buffer, length);
    for ([_][]const u8{ " ", key, "=", value, "\n" }) |part| buffer.append(part);
}

fn digitsOf(value: usize) usize {
    var count: usize = 1;
    var rest = value / 10;
    while (rest > 0) : (rest /= 10) count += 1;
    return count;
}

pub const Record = struct { key: []const u8, value: []const u8 };

/// Walks pax records.
pub const Records = struct {
    bytes: []const u8,

    pub fn next(records: *Records) error{Malformed}!?Record {
        // Some writers fill up with zero bytes.
        if (std.mem.trimStart(u8, records.bytes, "\x00").len == 0) return null;
        const blank = std.mem.findScalar(u8, records.bytes, ' ') orelse return error.Malformed;
        const length = std.fmt.parseInt(usize, records.bytes[0..blank], 10) catch return error.Malformed;
        if (length < blank + 3 or length > records.bytes.len) return error.Malformed;
        const content = records.bytes[blank + 1 .. length];
        records.bytes = records.bytes[length..];
        if (content[content.len - 1] != '\n') return error.Malformed;
        const equals = std.mem.findScalar(u8, content, '=') orelse return error.Malformed;
        return .{ .key = content[0..equals], .value = content[equals + 1 .. content.len - 1] };
    }
};
