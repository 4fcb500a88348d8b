//! JSON objects in and out. Reading gives a small tree in an arena; writing appends to a buffer.

const std = @import("std");
const osstring = @import("osstring.zig");
const Allocator = std.mem.Allocator;
const Buffer = @import("buffer.zig").Buffer;

pub const Member = struct { name: []const u8, value: Value };

pub const Value = union(enum) {
    null,
    bool: bool,
    number: []const u8,
    string: []const u8,
    array: []Value,
    object: []Member,
};

pub const ParseError = error{ Malformed, OutOfMemory };

const deepest = 8;
/// More values than any honest request has; bounds what a small text can make the tree cost.
const most_values = 128 * 1024;

pub fn parse(arena: Allocator, text: []const u8) ParseError!Value {
    var reader: Reader = .{ .arena = arena, .scanner = .initCompleteInput(arena, text) };
    const value = try reader.value(try reader.token(), 0);
    if (try reader.token() != .end_of_document) return error.Malformed;
    return value;
}

const Reader = struct {
    arena: Allocator,
    scanner: std.json.Scanner,
    values: usize = 0,

    fn token(reader: *Reader) ParseError!std.json.Token {
        return reader.scanner.nextAlloc(reader.arena, .alloc_if_needed) catch |fault| switch (fault) {
            error.OutOfMemory => error.OutOfMemory,
            else => error.Malformed,
        };
    }

    fn value(reader: *Reader, first: std.json.Token, depth: usize) ParseError!Value {
        reader.values += 1;
        if (depth > deepest or reader.values > most_values) return error.Malformed;
        switch (first) {
            .null => return .null,
            .true => return .{ .bool = true },
            .false => return .{ .bool = false },
            .number, .allocated_number => |text| return .{ .number = text },
            .string, .allocated_string => |text| return .{ .string = text },
            .array_begin => {
                var items: std.ArrayList(Value) = .empty;
                while (true) {
                    const next = try reader.token();
                    if (next == .array_end) return .{ .array = items.items };
                    try items.append(reader.arena, try reader.value(next, depth + 1));
                }
            },
            .object_begin => {
                var members: std.ArrayList(Member) = .empty;
                while (true) {
                    switch (try reader.token()) {
                        .object_end => return .{ .object = members.items },
                        .string, .allocated_string => |name| {
                            const item = try reader.value(try reader.token(), depth + 1);
                            try members.append(reader.arena, .{ .name = name, .value = item });
                        },
                        else => return error.Malformed,
                    }
                }
            },
            else => return error.Malformed,
        }
    }
};

/// Writes one object, or an array of one kind of value within it.
pub const Object = struct {
    buffer: *Buffer,
    empty: bool = true,

    pub fn begin(buffer: *Buffer) Object {
        buffer.append("{");
        return .{ .buffer = buffer };
    }

    pub fn end(object: *Object) void {
        object.buffer.append("}");
    }

    pub fn key(object: *Object, name: []const u8) void {
        object.buffer.append(if (object.empty) "\"" else ",\"");
        object.empty = false;
        object.buffer.append(name);
        object.buffer.append("\":");
    }

    pub fn int(object: *Object, name: []const u8, value: anytype) void {
        object.key(name);
        integer(object.buffer, value);
    }

    pub fn boolean(object: *Object, name: []const u8, value: bool) void {
        object.key(name);
        object.buffer.append(if (value) "true" else "false");
    }

    /// A value that is known to be valid UTF-8.
    pub fn text(object: *Object, name: []const u8, value: []const u8) void {
        object.key(name);
        string(object.buffer, value);
    }

    /// A value that may hold any bytes.
    pub fn os(object: *Object, name: []const u8, value: []const u8) void {
        object.key(name);
        osstring.append(object.buffer, value);
    }
};

pub fn integer(buffer: *Buffer, value: anytype) void {
    var digits: [24]u8 = undefined;
    var position: usize = digits.len;
    const negative = value < 0;
    var rest: u64 = if (negative) @intCast(-@as(i128, value)) else @intCast(value);
    while (true) {
        position -= 1;
        digits[position] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
        if (rest == 0) break;
    }
    if (negative) {
        position -= 1;
        digits[position] = '-';
    }
    buffer.append(digits[position..]);
}

pub fn string(buffer: *Buffer, value: []const u8) void {
    const hex = "0123456789abcdef";
    buffer.append("\"");
    var rest = value;
    while (rest.len > 0) {
        var plain: usize = 0;
        while (plain < rest.len and rest[plain] >= 0x20 and rest[plain] != '"' and rest[plain] != '\\') plain += 1;
        buffer.append(rest[0..plain]);
        if (plain == rest.len) break;
        const byte = rest[plain];
        if (byte < 0x20) {
            buffer.append(&.{ '\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15] });
        } else {
            buffer.append(&.{ '\\', byte });
        }
        rest = rest[plain + 1 ..];
    }
    buffer.append("\"");
}
